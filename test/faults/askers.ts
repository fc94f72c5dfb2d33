/*
 * Clients of both protocols that ask for a whole document, all at once, again and again, in a process of their own: who
 * measures others meanwhile must not be busy with the gigabytes that they are sent. They count what arrives, and keep
 * nothing of it.
 *
 *   node test/faults/askers.ts URL DOCUMENT COUNT BYTES MS
 *
 * It prints `ready` when all are in the document. At SIGUSR2 they ask, and for MS milliseconds each asks again when it has its
 * answer, a frame of BYTES at least. Then it prints `answered` with how many answers came, and how long the slowest took.
 */
import { randomBytes } from 'node:crypto';
import { type Socket, connect } from 'node:net';
import { setPriority } from 'node:os';
import { type Dialect, type Frame, encodeFrame } from '../helpers/frames.ts';

const [url = '', document = '', count = '', bytes = '', ms = ''] = process.argv.slice(2);
const { hostname, port } = new URL(url);
// They are on other machines: here they have only what server and database leave of the processors.
setPriority(19);

const EVERYTHING: Frame = { type: 'step1', stateVector: new Uint8Array([0]) };

/** The lengths of the frames that a server sends, which are not masked. */
class FrameLengths {
  #head = Buffer.alloc(0);
  #length = 0;
  #left = 0;
  readonly #onFrame: (length: number) => void;

  constructor(onFrame: (length: number) => void) {
    this.#onFrame = onFrame;
  }

  read(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#left === 0) rest = this.#readHead(rest);
      const passed = Math.min(this.#left, rest.length);
      this.#left -= passed;
      rest = rest.subarray(passed);
      if (this.#length >= 0 && this.#left === 0) this.#end();
    }
  }

  /** @returns what follows the head; nothing while it is not complete */
  #readHead(chunk: Buffer): Buffer {
    const head = Buffer.concat([this.#head, chunk]);
    const short = (head[1] ?? 0) & 0x7f;
    const size = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (head.length < size) {
      this.#head = head;
      this.#length = -1;
      return head.subarray(head.length);
    }
    this.#head = Buffer.alloc(0);
    this.#length =
      short < 126 ? short : short === 126 ? head.readUInt16BE(2) : Number(head.readBigUInt64BE(2));
    this.#left = this.#length;
    return head.subarray(size);
  }

  #end(): void {
    const length = this.#length;
    this.#length = -1;
    this.#onFrame(length);
  }
}

class Asker {
  readonly #dialect: Dialect;
  readonly #socket: Socket;
  #onAnswer = (): void => {};

  constructor(dialect: Dialect) {
    this.#dialect = dialect;
    this.#socket = connect(Number(port), hostname);
  }

  /** Holds when it is in the document. */
  async join(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const lengths = new FrameLengths((length) => {
      // A Hocuspocus client is told that it may, before it asks for anything.
      resolve();
      if (length >= Number(bytes)) this.#onAnswer();
    });
    let head: string | undefined = '';
    this.#socket
      .on('error', reject)
      .on('close', () => reject(new Error('the server has closed a connection')));
    this.#socket.on('data', (chunk) => {
      if (head === undefined) return lengths.read(chunk);
      head += chunk.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end === -1) return undefined;
      if (!head.startsWith('HTTP/1.1 101')) reject(new Error(head.slice(0, end)));
      const rest = Buffer.from(head.slice(end + 4), 'latin1');
      head = undefined;
      if (this.#dialect === 'y-websocket') resolve();
      else this.#send({ type: 'token', token: '' });
      return lengths.read(rest);
    });
    const path = this.#dialect === 'y-websocket' ? `/${encodeURIComponent(document)}` : '/';
    this.#socket.write(
      `GET ${path} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n\r\n`,
    );
    return promise;
  }

  /** Asks again and again. @returns how long each answer took */
  async ask(until: number): Promise<number[]> {
    const taken: number[] = [];
    do {
      const since = performance.now();
      await new Promise<void>((resolve) => {
        this.#onAnswer = resolve;
        this.#send(EVERYTHING);
      });
      taken.push(performance.now() - since);
    } while (performance.now() < until);
    return taken;
  }

  #send(frame: Frame): void {
    const payload = encodeFrame(this.#dialect, frame, document);
    // One frame, masked by zeros.
    this.#socket.write(Buffer.concat([Buffer.from([0x82, 0x80 | payload.length, 0, 0, 0, 0]), payload]));
  }

  end(): void {
    this.#socket.removeAllListeners('close').destroy();
  }
}

const dialects = ['y-websocket', 'hocuspocus'] as const;
const askers = Array.from(
  { length: Number(count) },
  (_, index) => new Asker(dialects[index % 2 === 0 ? 0 : 1]),
);
await Promise.all(askers.map((asker) => asker.join()));
const told = new Promise((resolve) => process.once('SIGUSR2', resolve));
// A promise alone does not keep a process alive; the sockets do.
process.stdout.write('ready\n');
await told;
const until = performance.now() + Number(ms);
const taken = (await Promise.all(askers.map((asker) => asker.ask(until)))).flat();
process.stdout.write(`answered ${taken.length} slowest ${Math.round(Math.max(...taken))}\n`);
for (const asker of askers) asker.end();
