// The page's wiring: search, book, and what others book. No framework, no request to anyone else.
import { bookingItem, journeyItem, money, route, showSeats, when } from "./view.js";
import { listen } from "./live.js";

const byId = (id) => document.getElementById(id);
const MOST_BOOKINGS = 20;
const ATTEMPTS = 3;
const state = { flags: {}, chosen: null, key: null, search: 0 };

class ApiError extends Error {}

// Safe to repeat: reads by nature, bookings by their Idempotency-Key. So a replica going away is not the traveller's problem.
async function ask(path, options = {}) {
  for (let attempt = 1; ; attempt += 1) {
    const response = await fetch(path, options).catch(() => null);
    if (response && response.ok) return response.json();
    const passing = !response || [502, 503, 504].includes(response.status);
    if (!passing || attempt === ATTEMPTS) throw new ApiError(await explain(response));
    await new Promise((resume) => setTimeout(resume, 400 * attempt));
  }
}

async function explain(response) {
  if (!response) return "Wayfare cannot be reached. Check your connection and try again.";
  const body = await response.json().catch(() => ({}));
  return body.error?.message ?? `Something went wrong (${response.status}). Try again in a moment.`;
}

async function search() {
  const turn = (state.search += 1);
  const parameters = new URLSearchParams(new FormData(byId("search")));
  byId("journeys").classList.add("waiting");
  try {
    const found = await ask(`/api/journeys?${parameters}`);
    if (turn === state.search) show(found);
  } catch (error) {
    if (turn === state.search) byId("summary").textContent = error.message;
  } finally {
    if (turn === state.search) byId("journeys").classList.remove("waiting");
  }
}

function show(found) {
  byId("journeys").replaceChildren(...found.journeys.map((journey) => journeyItem(journey, state.flags, choose)));
  byId("empty").hidden = found.journeys.length > 0;
  const day = new Date(`${found.day}T00:00Z`).toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long", timeZone: "UTC" });
  byId("summary").textContent = found.journeys.length ? `${found.journeys.length} on ${day}` : day;
  byId("source").textContent = `${found.source}${found.cached ? ", cached" : ""}`;
}

function choose(journey) {
  state.chosen = journey;
  // One key for one intention: however often the button is pressed or the request repeated, it is one booking.
  state.key = newKey();
  byId("dialog-title").textContent = route(journey);
  byId("dialog-when").textContent = `${when(journey.departs_at)}, ${journey.operator}`;
  byId("dialog-error").hidden = true;
  byId("book").elements.seats.value = 1;
  showTotal();
  byId("dialog").showModal();
}

function showTotal() {
  byId("total").textContent = money(state.chosen.price_cents * (Number(byId("book").elements.seats.value) || 0));
}

async function book() {
  const form = byId("book").elements;
  byId("confirm").disabled = true;
  try {
    const { booking } = await ask("/api/bookings", {
      method: "POST",
      headers: { "Content-Type": "application/json", "Idempotency-Key": state.key },
      body: JSON.stringify({ journey_id: state.chosen.id, seats: Number(form.seats.value), passenger: form.passenger.value }),
    });
    byId("dialog").close();
    toast(`Booked. Your reference is ${booking.reference}.`);
    addBooking(booking);
    showSeats(byId("journeys"), booking.journey, state.flags);
  } catch (error) {
    byId("dialog-error").textContent = error.message;
    byId("dialog-error").hidden = false;
  } finally {
    byId("confirm").disabled = false;
  }
}

function addBooking(booking) {
  const list = byId("bookings");
  const known = list.querySelector(`[data-id="${booking.id}"]`);
  if (known) {
    // The announcement is the same for everyone; only the answer to this browser knows that it is its own.
    if (booking.mine) known.replaceWith(bookingItem(booking));
    return;
  }
  const item = bookingItem(booking);
  item.classList.add("fresh");
  list.prepend(item);
  while (list.children.length > MOST_BOOKINGS) list.lastChild.remove();
  byId("no-bookings").hidden = true;
}

async function loadBookings() {
  const { bookings } = await ask("/api/bookings").catch(() => ({ bookings: [] }));
  const list = byId("bookings");
  // Reads come from a replica and may miss what was just announced.
  for (const booking of bookings) {
    if (!list.querySelector(`[data-id="${booking.id}"]`)) list.append(bookingItem(booking));
  }
  const newestFirst = [...list.children].sort((a, b) => b.dataset.created.localeCompare(a.dataset.created));
  list.replaceChildren(...newestFirst.slice(0, MOST_BOOKINGS));
  byId("no-bookings").hidden = list.children.length > 0;
}

async function loadIdentity() {
  const me = await ask("/api/me").catch(() => null);
  if (!me) return;
  byId("version").textContent = me.version;
  byId("pool").textContent = me.pool;
  byId("api-replica").textContent = `${me.replica} on ${me.host}`;
}

async function loadFlags() {
  state.flags = (await ask("/api/flags").catch(() => ({ flags: {} }))).flags;
  const announcement = state.flags.announcement;
  byId("announcement").hidden = !announcement;
  byId("announcement").textContent = announcement || "";
}

async function loadPlaces() {
  const { places } = await ask("/api/places").catch(() => ({ places: [] }));
  byId("places").replaceChildren(...places.map(({ name, country }) => new Option(country, name)));
}

function toast(text) {
  byId("toast").textContent = text;
  byId("toast").hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => { byId("toast").hidden = true; }, 5000);
}

function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function swap() {
  const { from, to } = byId("search").elements;
  [from.value, to.value] = [to.value, from.value];
  search();
}

function connectionChanged(connection, text) {
  byId("connection").dataset.state = connection;
  byId("connection-text").textContent = text;
}

function fillForm() {
  const fields = byId("search").elements;
  const asked = new URLSearchParams(location.search);
  fields.date.min = new Date().toISOString().slice(0, 10);
  fields.date.value = asked.get("date") ?? new Date(Date.now() + 86_400_000).toISOString().slice(0, 10);
  for (const name of ["from", "to", "q"]) {
    if (asked.has(name)) fields[name].value = asked.get(name);
  }
}

async function start() {
  fillForm();
  byId("search").addEventListener("submit", (event) => { event.preventDefault(); search(); });
  byId("swap").addEventListener("click", swap);
  byId("book").addEventListener("submit", (event) => { event.preventDefault(); book(); });
  byId("book").elements.seats.addEventListener("input", showTotal);
  byId("cancel").addEventListener("click", () => byId("dialog").close());
  // Alone and first: it sets the session cookie, which requests at the same time would each be given.
  await loadIdentity();
  await Promise.all([loadFlags().then(search), loadPlaces(), loadBookings()]);
  listen({
    onState: connectionChanged,
    onHello: (hello) => { byId("live-replica").textContent = `${hello.replica} on ${hello.host}`; },
    onBooking: (message) => {
      addBooking(message.booking);
      showSeats(byId("journeys"), message.journey, state.flags);
    },
    // Every browser learns of it in the same instant; they had better not all ask in it.
    onMissed: () => setTimeout(() => { loadBookings(); search(); }, 2000 * Math.random()),
  });
  setInterval(() => document.querySelectorAll(".ago").forEach((element) => element.refresh()), 15_000);
}

start();
