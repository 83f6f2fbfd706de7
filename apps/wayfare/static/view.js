// From data to elements. Text is set as text, never as markup.
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: "UTC" });
const moment = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", timeZone: "UTC" });
const euros = new Intl.NumberFormat("en-IE", { style: "currency", currency: "EUR" });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

export const money = (cents) => euros.format(cents / 100);
export const when = (iso) => moment.format(new Date(iso));
export const route = (journey) => `${journey.origin} → ${journey.destination}`;

function fromTemplate(id, texts) {
  const element = document.getElementById(id).content.firstElementChild.cloneNode(true);
  for (const [name, text] of Object.entries(texts)) element.querySelector(`.${name}`).textContent = text;
  return element;
}

function duration(minutes) {
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")}`;
}

function ago(iso) {
  const seconds = Math.min(0, Math.round((new Date(iso) - Date.now()) / 1000));
  if (seconds > -45) return "just now";
  if (seconds > -2700) return relative.format(Math.round(seconds / 60), "minute");
  if (seconds > -72_000) return relative.format(Math.round(seconds / 3600), "hour");
  return relative.format(Math.round(seconds / 86_400), "day");
}

function nightsAway(journey) {
  const day = (iso) => Date.parse(`${iso.slice(0, 10)}T00:00Z`);
  return (day(journey.arrives_at) - day(journey.departs_at)) / 86_400_000;
}

export function journeyItem(journey, flags, choose) {
  const extras = [...journey.amenities];
  if (flags.show_emissions) extras.push(`${journey.co2_kg.toFixed(1)} kg CO₂`);
  const item = fromTemplate("journey", {
    departs: clock.format(new Date(journey.departs_at)),
    arrives: clock.format(new Date(journey.arrives_at)),
    origin: journey.origin,
    destination: journey.destination,
    duration: duration(journey.duration_minutes),
    via: journey.via.length ? `via ${journey.via.join(", ")}` : "",
    mode: journey.mode,
    operator: journey.operator,
    amenities: extras.join(" · "),
    price: money(journey.price_cents),
  });
  const nights = nightsAway(journey);
  if (nights > 0) {
    const later = document.createElement("small");
    later.textContent = `+${nights}`;
    later.title = "arrives on a later day";
    item.querySelector(".arrives").append(later);
  }
  item.dataset.id = journey.id;
  item.querySelector(".mode").dataset.mode = journey.mode;
  const button = item.querySelector("button");
  button.setAttribute("aria-label", `Book ${route(journey)} at ${clock.format(new Date(journey.departs_at))}`);
  button.addEventListener("click", () => choose(journey));
  writeSeats(item, journey.seats_left, flags);
  return item;
}

export function showSeats(list, journey, flags) {
  const item = list.querySelector(`[data-id="${journey.id}"]`);
  if (!item) return;
  writeSeats(item, journey.seats_left, flags);
  item.classList.remove("changed");
  requestAnimationFrame(() => item.classList.add("changed"));
}

function writeSeats(item, left, flags) {
  const seats = item.querySelector(".seats");
  const few = typeof flags.seat_countdown === "number" && left <= flags.seat_countdown;
  seats.textContent = left === 0 ? "sold out" : few ? `only ${left} left` : `${left} seats`;
  seats.classList.toggle("few", few);
  item.querySelector("button").disabled = left === 0;
}

export function bookingItem(booking) {
  const seats = booking.seats === 1 ? "1 seat" : `${booking.seats} seats`;
  const item = fromTemplate("booking", {
    route: route(booking.journey),
    who: `${booking.passenger}, ${seats}, ${when(booking.journey.departs_at)}`,
  });
  item.dataset.id = booking.id;
  item.dataset.created = booking.created_at;
  if (booking.mine) {
    item.classList.add("mine");
    const badge = document.createElement("p");
    badge.className = "badge";
    badge.textContent = `Yours: reference ${booking.reference}`;
    item.querySelector(".who").after(badge);
  }
  const time = item.querySelector(".ago");
  time.dateTime = booking.created_at;
  time.refresh = () => { time.textContent = ago(booking.created_at); };
  time.refresh();
  return item;
}
