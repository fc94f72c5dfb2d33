import { measureLatency } from './api.ts';
import { element } from './element.ts';
import type { Session } from './session.ts';

/** How often the panel looks at the counts, and at the way to the server, in ms. */
const lookEvery = 500;
const measureEvery = 3_000;

/** The panel that shows what goes over the line. */
class NetworkPanel {
  readonly #panel = element('network', HTMLElement);
  readonly #button = element('open-network', HTMLButtonElement);
  readonly #session: () => Session;
  #timers: ReturnType<typeof setInterval>[] = [];
  #latency: number | undefined;

  constructor(session: () => Session) {
    this.#session = session;
    this.#button.addEventListener('click', () => this.#toggle());
    element('network-close', HTMLButtonElement).addEventListener('click', () => {
      this.#toggle();
      this.#button.focus();
    });
  }

  #toggle(): void {
    const isOpen = this.#panel.hidden;
    this.#panel.hidden = !isOpen;
    this.#button.ariaExpanded = `${isOpen}`;
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
    if (!isOpen) return;
    this.#timers = [
      setInterval(() => this.#show(), lookEvery),
      setInterval(() => void this.#measure(), measureEvery),
    ];
    this.#show();
    void this.#measure();
  }

  async #measure(): Promise<void> {
    const session = this.#session();
    const isOnline = session.line.state.kind === 'online';
    this.#latency = isOnline ? await measureLatency(session.address) : undefined;
    this.#show();
  }

  #show(): void {
    const { traffic, awareness, line } = this.#session();
    const rows: Record<string, string> = {
      'net-latency': line.state.kind === 'online' ? milliseconds(this.#latency) : '–',
      'net-save-time': milliseconds(traffic.saveTime),
      'net-edits-sent': `${traffic.editsSent}`,
      'net-edits-saved': `${traffic.editsSaved}`,
      'net-edits-refused': `${traffic.editsRefused}`,
      'net-edits-received': `${traffic.editsReceived}`,
      'net-presence': `${traffic.presenceSent} / ${traffic.presenceReceived}`,
      'net-bytes': `${kilobytes(traffic.bytesSent)} / ${kilobytes(traffic.bytesReceived)}`,
      'net-people': `${awareness.getStates().size}`,
      'net-reconnects': `${Math.max(0, traffic.connections - 1)}`,
    };
    for (const [id, text] of Object.entries(rows)) element(id, HTMLElement).textContent = text;
  }
}

/** @param session - of the document that is open */
export function setUpNetworkPanel(session: () => Session): NetworkPanel {
  return new NetworkPanel(session);
}

function milliseconds(time: number | undefined): string {
  if (time === undefined) return '–';
  return time < 10 ? `${time.toFixed(1)} ms` : `${Math.round(time)} ms`;
}

function kilobytes(bytes: number): string {
  return `${(bytes / 1024).toFixed(1)} KB`;
}
