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
import { setPriority } from 'node:os';
import type { Dialect, Frame } from '../helpers/frames.ts';
import { Line } from './line.ts';

const [url = '', document = '', count = '', bytes = '', ms = ''] = process.argv.slice(2);
// They are on other machines: here they have only what server and database leave of the processors.
setPriority(19);

const EVERYTHING: Frame = { type: 'step1', stateVector: new Uint8Array([0]) };

class Asker {
  readonly #line: Line;

  constructor(dialect: Dialect) {
    this.#line = new Line(dialect, url, document);
  }

  join(): Promise<void> {
    return this.#line.join();
  }

  /** Asks again and again. @returns how long each answer took */
  async ask(until: number): Promise<number[]> {
    const taken: number[] = [];
    do {
      const since = performance.now();
      await new Promise<void>((resolve) => {
        this.#line.onFrame = (length) => {
          if (length >= Number(bytes)) resolve();
        };
        this.#line.send(EVERYTHING);
      });
      taken.push(performance.now() - since);
    } while (performance.now() < until);
    return taken;
  }

  end(): void {
    this.#line.end();
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
