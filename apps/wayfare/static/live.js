// The WebSocket: connected as long as the page is open, whatever happens to the replica at the other end.
const FIRST_RETRY = 500;
const LONGEST_RETRY = 10_000;
const GOING_AWAY = 1001;

export function listen({ onState, onHello, onBooking, onMissed }) {
  let retry = FIRST_RETRY;
  let hadConnection = false;

  function connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/ws/`);
    onState("connecting", hadConnection ? "Reconnecting" : "Connecting");
    socket.addEventListener("message", (event) => receive(JSON.parse(event.data)));
    socket.addEventListener("close", (event) => reconnect(event.code));
  }

  function receive(message) {
    if (message.type === "hello") {
      retry = FIRST_RETRY;
      onState("open", "Live");
      onHello(message);
      if (hadConnection) onMissed();
      hadConnection = true;
    } else if (message.type === "booking") {
      onBooking(message);
    } else if (message.type === "resync") {
      onMissed();
    }
  }

  function reconnect(code) {
    onState("closed", code === GOING_AWAY ? "Moving to another replica" : "Offline, trying again");
    setTimeout(connect, retry * (0.5 + Math.random() / 2));
    retry = Math.min(retry * 2, LONGEST_RETRY);
  }

  connect();
}
