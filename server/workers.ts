import cluster, { type Worker } from 'node:cluster';
import { AggregatorRegistry } from 'prom-client';
import { messageOf } from './errors.ts';
import type { Log } from './log.ts';

/** A process that ended by itself is started again after this time, doubled each time up to the maximum. */
const RESTART_MS = 100;
const RESTART_MAX_MS = 10_000;
/** Who has lived for so long was no failed start. */
const LIVED_MS = 60_000;

/** What the processes say to each other. */
type Message =
  | { readonly indelible: 'ready'; readonly url: string }
  | { readonly indelible: 'stop' }
  | { readonly indelible: 'metrics'; readonly id: number }
  | { readonly indelible: 'metrics of all'; readonly id: number; readonly text: string | null };

function isOurs(message: unknown): message is Message {
  return typeof message === 'object' && message !== null && 'indelible' in message;
}

/** Whether this process is one of several that serve one port, and was started for that. */
export function isWorker(): boolean {
  return cluster.isWorker;
}

/** Several processes that serve one port, seen from the one that started them. */
export class Workers {
  readonly #log: Log;
  /** The metrics of all, added up. */
  readonly #registry = new AggregatorRegistry();
  readonly #ready = Promise.withResolvers<string>();
  readonly #ended = Promise.withResolvers<number>();
  /** Those that have not said yet that they listen. */
  readonly #starting = new Set<Worker>();
  #isReady = false;
  #isStopping = false;
  #failures = 0;
  #exitCode = 0;

  /** @param count - how many there are to be */
  constructor(count: number, log: Log) {
    this.#log = log;
    for (let started = 0; started < count; started += 1) this.#start();
  }

  /** Resolves with the address once all listen; rejects when one ends before. */
  get ready(): Promise<string> {
    return this.#ready.promise;
  }

  /** Resolves once all have ended after {@link stop}: with 0 if every one of them did. */
  get ended(): Promise<number> {
    return this.#ended.promise;
  }

  /** Stops all; called again, at once. */
  stop(): void {
    this.#isStopping = true;
    for (const worker of running()) send(worker, { indelible: 'stop' });
    this.#endIfOver();
  }

  #start(): void {
    const worker = cluster.fork();
    const since = performance.now();
    this.#starting.add(worker);
    worker.on('message', (message: unknown) => {
      if (isOurs(message)) this.#hear(worker, message);
    });
    worker.on('error', (error) => this.#log.error({ err: error }, 'a worker cannot be reached'));
    worker.on('exit', (code, signal) => this.#exited(worker, signal ?? code, performance.now() - since));
  }

  #hear(worker: Worker, message: Message): void {
    if (message.indelible === 'ready') {
      // It may not have heard that before.
      if (this.#isStopping) send(worker, { indelible: 'stop' });
      this.#starting.delete(worker);
      this.#isReady ||= this.#starting.size === 0;
      if (this.#isReady) this.#ready.resolve(message.url);
    } else if (message.indelible === 'metrics') {
      // Does not reject.
      void this.#answer(worker, message.id);
    }
  }

  async #answer(worker: Worker, id: number): Promise<void> {
    const text = await this.#registry.clusterMetrics().catch((error: unknown) => {
      this.#log.warn({ err: messageOf(error) }, 'the metrics of all workers cannot be had');
      return null;
    });
    send(worker, { indelible: 'metrics of all', id, text });
  }

  #exited(worker: Worker, how: string | number, livedMs: number): void {
    this.#starting.delete(worker);
    if (this.#isStopping) {
      if (how !== 0) this.#exitCode = 1;
      this.#endIfOver();
      return;
    }
    this.#log.error({ worker: worker.id, how }, 'a worker has ended');
    if (!this.#isReady) {
      // What is wrong is the same for all.
      this.#exitCode = 1;
      this.#ready.reject(new Error('a worker did not start; it has said why'));
      this.stop();
      return;
    }
    this.#failures = livedMs > LIVED_MS ? 0 : this.#failures + 1;
    const pause = Math.min(RESTART_MS * 2 ** this.#failures, RESTART_MAX_MS);
    setTimeout(() => {
      if (!this.#isStopping) this.#start();
    }, pause);
  }

  #endIfOver(): void {
    if (running().length === 0) this.#ended.resolve(this.#exitCode);
  }
}

function running(): Worker[] {
  return Object.values(cluster.workers ?? {}).filter((worker) => worker?.isDead() === false) as Worker[];
}

/** Who has ended meanwhile need not hear it. */
function send(worker: Worker, message: Message): void {
  if (worker.isConnected()) worker.send(message, () => {});
}

/** One of several processes that serve one port, seen from itself. */
export class WorkerProcess {
  readonly #worker = cluster.worker as Worker;
  readonly #asked = new Map<number, PromiseWithResolvers<string>>();
  #questions = 0;

  /** @param onStop - called when it is to stop; again when it is to stop at once */
  constructor(onStop: () => void) {
    this.#worker.on('message', (message: unknown) => {
      if (!isOurs(message)) return;
      if (message.indelible === 'stop') onStop();
      else if (message.indelible === 'metrics of all') this.#answered(message.id, message.text);
    });
    // Nobody is left who would tell.
    this.#worker.on('disconnect', onStop);
  }

  /** Tells that it listens. */
  ready(url: string): void {
    send(this.#worker, { indelible: 'ready', url });
  }

  /**
   * The metrics of all processes.
   * @throws when one of them does not answer within 5 s
   */
  metrics(): Promise<string> {
    this.#questions += 1;
    const answer = Promise.withResolvers<string>();
    this.#asked.set(this.#questions, answer);
    send(this.#worker, { indelible: 'metrics', id: this.#questions });
    return answer.promise;
  }

  #answered(id: number, text: string | null): void {
    const answer = this.#asked.get(id);
    this.#asked.delete(id);
    if (text === null) answer?.reject(new Error('a worker does not tell its metrics'));
    else answer?.resolve(text);
  }
}
