import { once } from 'node:events';
import { WebSocket } from 'ws';
import * as Y from 'yjs';
import { type Frame, type Received, decodeFrame, encodeFrame } from '../helpers/frames.ts';

/** A client that keeps no document: hundreds of them take little of a machine on which servers are measured. */
export class Member {
  readonly #document: string;
  readonly #socket: WebSocket;
  readonly #opened: Promise<unknown>;
  readonly #entered = Promise.withResolvers<void>();
  onFrame: (frame: Received) => void = () => {};

  constructor(url: string, document: string) {
    this.#document = document;
    this.#socket = new WebSocket(url.replace(/^http/, 'ws'));
    this.#opened = once(this.#socket, 'open');
    this.#socket.on('message', (data: Buffer) => {
      const frame = decodeFrame('hocuspocus', data);
      if (frame.type === 'step2') this.#entered.resolve();
      this.onFrame(frame);
    });
    // Nobody is to leave before all has been measured.
    this.#socket.on('close', (code, reason) => {
      throw new Error(`${url} has closed a connection: ${code} ${reason.toString()}`);
    });
  }

  /** Holds when it has been told what the document holds. */
  async enter(): Promise<void> {
    await this.#opened;
    this.send({ type: 'token', token: '' });
    this.send({ type: 'step1', stateVector: Y.encodeStateVector(new Y.Doc()) });
    await this.#entered.promise;
  }

  /** When all has been measured. */
  leave(): void {
    this.#socket.removeAllListeners('close');
    this.#socket.terminate();
  }

  send(frame: Frame): void {
    this.#socket.send(encodeFrame('hocuspocus', frame, this.#document));
  }
}
