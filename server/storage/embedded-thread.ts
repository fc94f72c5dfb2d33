import { rm } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';

/** Pause before a database that ended by itself is started again. */
const RESTART_MS = 250;

/** The thread that runs PGlite. One that ends by itself is started again: its log says what was committed. */
export class EmbeddedThread {
  readonly #directory: string;
  readonly #socket: string;
  readonly #onRestart: (error: unknown) => void;
  readonly #createWorker: typeof createWorker;
  #worker: Worker | undefined;
  #isStopping = false;
  #restarting: Promise<void> = Promise.resolve();

  /**
   * @param directory - where the database keeps its files
   * @param socket - path of the Unix socket that it listens on
   * @param onRestart - told what went wrong, each time that it is started again
   */
  constructor(
    directory: string,
    socket: string,
    onRestart: (error: unknown) => void,
    create: typeof createWorker = createWorker,
  ) {
    this.#directory = directory;
    this.#socket = socket;
    this.#onRestart = onRestart;
    this.#createWorker = create;
  }

  /** @throws when the database cannot be opened */
  async start(): Promise<void> {
    const worker = this.#createWorker({ directory: this.#directory, socket: this.#socket });
    this.#worker = worker;
    worker.once('exit', () => (this.#worker = undefined));
    await new Promise<void>((resolve, reject) => {
      worker.once('message', () => resolve());
      worker.once('error', reject);
      worker.once('exit', (code) =>
        reject(new Error(`the embedded database ended while starting (exit ${code})`)),
      );
    });
    worker.on('error', this.#onRestart);
    worker.once('exit', () => {
      this.#restarting = this.#restart();
    });
  }

  /** Does not reject: it tries until it is stopped. */
  async #restart(): Promise<void> {
    while (!this.#isStopping) {
      await new Promise((resolve) => setTimeout(resolve, RESTART_MS));
      try {
        await rm(this.#socket, { force: true });
        if (this.#isStopping) return;
        this.#onRestart(new Error('the embedded database ended; it is started again'));
        await this.start();
        return;
      } catch (error) {
        this.#onRestart(error);
      }
    }
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    // Does not reject; a restart that has begun comes to its end first.
    await this.#restarting;
    const worker = this.#worker;
    if (worker === undefined) return;
    const closed = new Promise<void>((resolve) => {
      worker.once('message', () => resolve());
      worker.once('exit', () => resolve());
    });
    worker.postMessage('close');
    await closed;
    await worker.terminate();
  }
}

function createWorker(workerData: { directory: string; socket: string }): Worker {
  const file = import.meta.url.replace(/embedded-thread(\.[jt]s)$/, 'embedded-worker$1');
  return new Worker(new URL(file), { workerData });
}
