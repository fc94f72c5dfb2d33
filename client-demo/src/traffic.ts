import type { WebsocketProvider } from 'y-websocket';

// What goes over the line: the first byte of a frame says what it is, of a sync frame the second.
const sync = 0;
const presence = 1;
const ack = 8;
const step2 = 1;
const update = 2;
/** A step 2 that brings nothing. */
const emptyLength = 5;

/** Counts what goes over the sockets of one document, for people who want to see how it works. */
export class Traffic {
  connections = 0;
  editsSent = 0;
  /** Those of others: the server sends everybody's to everybody, so that our own come back. */
  editsReceived = 0;
  editsSaved = 0;
  editsRefused = 0;
  presenceSent = 0;
  presenceReceived = 0;
  bytesSent = 0;
  bytesReceived = 0;
  /** From sending an edit to its ack, that is until it was committed, in ms. */
  saveTime: number | undefined;
  /** Frames that wait for an ack, oldest first. */
  #waiting: { readonly isEdit: boolean; readonly sentAt: number }[] = [];

  /** What y-websocket is given as its WebSocket. */
  readonly Socket = this.#socketClass();

  #socketClass(): typeof WebSocket {
    const opened = (): void => this.#opened();
    const sent = (frame: Uint8Array): void => this.#sent(frame);
    const received = (frame: Uint8Array): void => this.#received(frame);
    return class extends WebSocket {
      constructor(url: string | URL, protocols?: string | string[]) {
        super(url, protocols);
        this.addEventListener('open', opened);
        this.addEventListener('message', ({ data }) => received(new Uint8Array(data)));
      }

      override send(data: Uint8Array<ArrayBuffer>): void {
        sent(data);
        super.send(data);
      }
    };
  }

  /** Counts what changes the document of a provider: nothing that it has already does. */
  follow(provider: WebsocketProvider): void {
    provider.doc.on('update', (_update: Uint8Array, origin: unknown) => {
      if (origin === provider) this.editsReceived += 1;
    });
  }

  #opened(): void {
    this.connections += 1;
    this.#waiting = [];
  }

  #sent(frame: Uint8Array): void {
    this.bytesSent += frame.length;
    if (frame[0] === presence) this.presenceSent += 1;
    if (!isContent(frame)) return;
    const isEdit = frame.length > emptyLength;
    if (isEdit) this.editsSent += 1;
    this.#waiting.push({ isEdit, sentAt: performance.now() });
  }

  #received(frame: Uint8Array): void {
    this.bytesReceived += frame.length;
    if (frame[0] === presence) this.presenceReceived += 1;
    if (frame[0] === ack) this.#acked(frame[1] === 1);
  }

  #acked(isCommitted: boolean): void {
    const frame = this.#waiting.shift();
    if (frame?.isEdit !== true) return;
    if (!isCommitted) {
      this.editsRefused += 1;
      return;
    }
    this.editsSaved += 1;
    this.saveTime = performance.now() - frame.sentAt;
  }
}

function isContent(frame: Uint8Array): boolean {
  return frame[0] === sync && (frame[1] === step2 || frame[1] === update);
}
