import type { Socket as TcpSocket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { Hub } from '../documents/hub.ts';
import { outgoing } from '../documents/outgoing.ts';
import type { SendOptions } from '../documents/document-connection.ts';
import type { HubSocket, Session } from '../documents/session.ts';
import { isOurCloseCode } from '../errors.ts';
import type { Metrics } from '../metrics.ts';
import type { Wire } from '../protocol/wire.ts';
import { LARGEST_FRAMED, frameOf } from './framing.ts';

/** Pings that may go unanswered before a peer is taken for dead. */
const MISSED_PINGS = 2;

/** At this share of its limit a slow reader is spared presence, which is replaced by the next anyway. */
const PRESENCE_SHARE = 0.25;

/** Codes of the WebSocket protocol: normal, going away, no code, cut off, wrong data, too large. */
const KNOWN_CODES: ReadonlySet<number> = new Set([1000, 1001, 1005, 1006, 1007, 1009]);

export interface SocketOptions {
  readonly hub: Hub;
  readonly wire: Wire;
  readonly metrics: Metrics;
  /** Bytes that may wait for this client, beside one frame. */
  readonly limitSendBytes: number;
  readonly onClose: () => void;
}

/** One WebSocket: heartbeat, back-pressure in both directions, one write to TCP per turn of the event loop. */
export class Socket implements HubSocket {
  readonly session: Session;
  readonly #ws: WebSocket;
  readonly #tcp: TcpSocket;
  readonly #options: SocketOptions;
  readonly #openedAt = performance.now();
  #missedPings = 0;
  #bytesRead = 0;
  /** While the log is full, all sockets; while it has sent too much, this one. */
  #isPaused = false;
  #unpausedAt = this.#openedAt;
  #restTimer: NodeJS.Timeout | undefined;
  #isReading = true;
  #isSpared = false;
  /** The turn of the event loop in which it has sent something. */
  #sentIn = -1;
  #isCorked = false;
  #isQuiet = false;
  /** The largest frame that may still be waiting. */
  #largestWaiting = 0;

  constructor(ws: WebSocket, tcp: Duplex, options: SocketOptions) {
    this.#ws = ws;
    // Also under TLS, whose sockets extend it.
    this.#tcp = tcp as TcpSocket;
    this.#options = options;
    const { metrics, wire } = options;
    metrics.opens.inc({ protocol: wire.protocol });
    metrics.connections.inc({ protocol: wire.protocol });
    this.session = options.hub.connect(this, wire);
    ws.on('message', (data, isBinary) => this.#receive(data as Buffer, isBinary));
    ws.on('close', (code, reason) => this.#closed(code, reason.toString()));
    // `close` follows, with a code that says why.
    ws.on('error', (error) => {
      const { code } = error as NodeJS.ErrnoException;
      metrics.refused.inc({
        code: code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH' ? 'frame_too_large' : 'bad_frame',
      });
    });
  }

  get isOpen(): boolean {
    return this.#ws.readyState === this.#ws.OPEN;
  }

  get heardSince(): number {
    return this.#isPaused ? Infinity : this.#unpausedAt;
  }

  send(frame: Uint8Array, { isPresence = false, onSent }: SendOptions = {}): void {
    if (!this.isOpen) {
      onSent?.();
      return;
    }
    const { metrics, limitSendBytes } = this.#options;
    const waiting = this.#ws.bufferedAmount;
    if (waiting === 0) this.#largestWaiting = 0;
    // One frame may be larger than the limit: a large document, which could never be opened otherwise.
    const late = waiting - this.#largestWaiting;
    if (late > limitSendBytes) {
      // The close frame waits behind everything that this client does not read; `closeTimeout` ends that.
      this.session.end('slow_reader');
      onSent?.();
      return;
    }
    if (isPresence && late > limitSendBytes * PRESENCE_SHARE) {
      metrics.sparedPresence.inc();
      this.#spare();
      onSent?.();
      return;
    }
    this.#beginWriting();
    this.#isQuiet = false;
    this.#largestWaiting = Math.max(this.#largestWaiting, frame.byteLength);
    metrics.bytesOut.inc(frame.byteLength);
    // `ws` would write at once, too: nothing is compressed, so that the two never get out of order.
    if (frame.byteLength > LARGEST_FRAMED) this.#ws.send(frame, onSent);
    else this.#tcp.write(frameOf(frame), onSent);
  }

  /** What it is spared it gets when it has caught up. */
  #spare(): void {
    if (this.#isSpared) return;
    this.#isSpared = true;
    this.#tcp.once('drain', () => {
      this.#isSpared = false;
      this.session.catchUp();
    });
  }

  close(code: number, reason: string): void {
    // What TCP has been held back goes first.
    this.#ws.close(code, reason);
  }

  /** Ends the connection without a handshake. */
  terminate(): void {
    this.#ws.terminate();
  }

  /** Stops or goes on reading. A client that is not read fills its own buffers and waits; nothing is dropped. */
  pause(isPaused: boolean): void {
    this.#isPaused = isPaused;
    this.#unpausedAt = performance.now();
    this.#readOrNot();
  }

  rest(ms: number): void {
    clearTimeout(this.#restTimer);
    this.#restTimer = setTimeout(() => {
      this.#restTimer = undefined;
      this.#readOrNot();
    }, ms);
    this.#readOrNot();
  }

  #readOrNot(): void {
    const isReading = !this.#isPaused && this.#restTimer === undefined;
    if (isReading === this.#isReading) return;
    this.#isReading = isReading;
    this.#missedPings = 0;
    if (isReading) this.#ws.resume();
    else this.#ws.pause();
  }

  /**
   * Pings the peer, or ends a connection whose peer has stopped answering. A peer that was sent nothing since the last
   * time gets a frame: providers give up a line on which nothing comes for 30 s, and do not see pings.
   */
  beat(): void {
    if (this.#isQuiet) this.session.keepAlive();
    this.#isQuiet = true;
    // We do not read its answers.
    if (!this.#isReading) return;
    // Whatever arrives is a sign of life: an answer cannot overtake a large frame that is still on its way.
    const { bytesRead } = this.#tcp;
    if (bytesRead !== this.#bytesRead) this.#missedPings = 0;
    this.#bytesRead = bytesRead;
    if (this.#missedPings >= MISSED_PINGS) {
      this.#ws.terminate();
      return;
    }
    this.#missedPings += 1;
    if (this.isOpen) this.#ws.ping();
  }

  #receive(data: Buffer, isBinary: boolean): void {
    this.#options.metrics.bytesIn.inc(data.byteLength);
    if (isBinary) this.session.receive(data);
    else this.session.endByFrame('bad_frame');
  }

  /**
   * What is sent first in a turn of the event loop leaves at once, since mostly it is all, unless more is said to be coming; the rest
   * in one system call when the turn ends. (To hold back what is first, too, is to come back to each of a thousand sockets, which are
   * in no cache any more.)
   */
  #beginWriting(): void {
    if (this.#isCorked) return;
    const turn = outgoing.turn();
    if (this.#sentIn === turn || outgoing.isMoreComing) {
      this.#isCorked = true;
      this.#tcp.cork();
      outgoing.atItsEnd(() => this.#uncork());
    }
    this.#sentIn = turn;
  }

  #uncork(): void {
    this.#isCorked = false;
    this.#tcp.uncork();
  }

  #closed(code: number, reason: string): void {
    const { metrics, wire, onClose } = this.#options;
    metrics.connections.dec({ protocol: wire.protocol });
    metrics.closes.inc({ code: labelOf(code) });
    metrics.connectionSeconds.observe((performance.now() - this.#openedAt) / 1000);
    clearTimeout(this.#restTimer);
    onClose();
    this.session.closed(code, reason);
  }
}

/** Clients may close with any code; only those that say something get a series of their own. */
function labelOf(code: number): string {
  return KNOWN_CODES.has(code) || isOurCloseCode(code) ? String(code) : 'other';
}
