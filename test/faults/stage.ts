import { onTestFailed } from 'vitest';
import type { Proxy } from '../helpers/proxy.ts';
import { until } from '../helpers/deadline.ts';
import { PROTOCOLS, type Protocol } from '../helpers/editor.ts';
import { COLLECTING, type Memory, memoryOf } from '../helpers/memory.ts';
import { type ServerProcess, spawnServer } from '../helpers/server.ts';
import type { Storage } from '../helpers/storage.ts';
import { randomOf } from '../helpers/random.ts';
import { Ledger } from './ledger.ts';
import { SEED } from './run.ts';
import { startTypist, type Typist } from './typist.ts';
import {
  allAgree,
  endsWell,
  hasNoMoreMemory,
  isAllStored,
  isSilent,
  nothingIsLost,
  readStored,
} from './verdict.ts';

/** Milliseconds between two edits, of whomever. */
const TYPING_MS = 10;
/** Of the people, at a time. */
const REPLACED = 0.2;

export interface StageOptions {
  /** The database, as it is reached without the proxies that the server goes through. */
  storage: Storage;
  /** As the server reaches it; the same when left out. */
  serverStorage?: Storage;
  /** Settings of the server. */
  env?: Record<string, string>;
  /** A proxy to be put between clients and server, once there is one. */
  between?: (url: string) => Promise<Proxy>;
  documents?: string[];
  /** Nobody is offline by themselves. */
  isAlwaysOnline?: boolean;
  /** Of the choices; `SEED` when left out. */
  seed?: number;
}

/** A server in a process of its own, and people with real providers in some of its documents, who live through every fault. */
export class Stage {
  readonly ledger = new Ledger();
  /** By which people type, as often as there is time. */
  readonly random: () => number;
  /** By which faults are chosen: by numbers of their own, or they would depend on how much is typed in between. */
  readonly chance: () => number;
  readonly storage: Storage;
  readonly documents: readonly string[];
  /** What clients connect to. */
  readonly url: string;
  /** In each document one of each protocol. */
  readonly typists: Typist[] = [];
  server: ServerProcess;
  readonly #options: StageOptions;
  #servers: ServerProcess[];
  /** Of the first server, when everybody had typed once. */
  #before: Memory = { heap: 0, buffers: 0, resident: 0 };
  #joined = 0;
  /** Clients that never come back. */
  readonly #gone = new Set<number>();

  static async set(options: StageOptions): Promise<Stage> {
    onTestFailed(() => void process.stdout.write(`SEED=${SEED}\n`));
    const env = { ...COLLECTING, ...options.env };
    const server = await spawnServer(options.serverStorage ?? options.storage, env);
    const url = (await options.between?.(server.url))?.url ?? server.url;
    const stage = new Stage({ ...options, env }, server, url);
    await Promise.all(stage.typists.map((typist) => (typist.type(), typist.settled())));
    stage.#before = await memoryOf(server);
    return stage;
  }

  private constructor(options: StageOptions, server: ServerProcess, url: string) {
    this.#options = options;
    this.storage = options.storage;
    this.server = server;
    this.#servers = [server];
    this.url = url;
    const { seed = SEED } = options;
    this.random = randomOf(seed);
    this.chance = randomOf(seed);
    this.documents = options.documents ?? ['faults/one', 'faults/two', 'faults/three'];
    for (const document of this.documents) for (const protocol of PROTOCOLS) this.#join(document, protocol);
  }

  #join(document: string, protocol: Protocol): void {
    const name = `${protocol}.${(this.#joined += 1)}@${document}`;
    const { url, ledger, random } = this;
    const { isAlwaysOnline } = this.#options;
    this.typists.push(startTypist({ protocol, url, document, name, ledger, random, isAlwaysOnline }));
  }

  /** Some leave for good, with what is not acked; others come in their place. */
  someAreReplaced(): void {
    const { typists } = this;
    for (const typist of typists.filter(() => this.chance() < REPLACED)) {
      typist.abandon();
      this.#gone.add(typist.doc.clientID);
      typists.splice(typists.indexOf(typist), 1);
      this.#join(typist.document, typist.protocol);
    }
  }

  /** Somebody types. */
  type(): void {
    this.typists[Math.floor(this.random() * this.typists.length)]?.type();
  }

  /** One after the other types, all the while. */
  async whileTyping<T>(work: () => Promise<T>): Promise<T> {
    const typing = setInterval(() => this.type(), TYPING_MS);
    try {
      return await work();
    } finally {
      clearInterval(typing);
    }
  }

  /** How everybody stands, in words. */
  standing(): string {
    return this.typists.map((typist) => `${typist.document}: ${typist.standing()}`).join('\n');
  }

  /** Holds when everybody's edits are acked. */
  async settled(deadlineMs = 60_000): Promise<void> {
    await Promise.all(this.typists.map((typist) => typist.settled(deadlineMs)));
  }

  /** Holds when somebody's edit has been acked from now on; tells after how many milliseconds. */
  async firstAck(deadlineMs = 60_000): Promise<number> {
    const since = performance.now();
    await until({
      what: () => `an ack
${this.standing()}`,
      check: () => this.ledger.lastAckAt > since,
      signal: this.ledger.changed,
      deadlineMs,
    });
    return this.ledger.lastAckAt - since;
  }

  /** Starts a server where the last one, which has ended, was. */
  async startServer(env: Record<string, string> = {}): Promise<void> {
    const { port } = new URL(this.server.url);
    const { serverStorage, storage } = this.#options;
    this.server = await spawnServer(serverStorage ?? storage, { ...this.#options.env, PORT: port, ...env });
    this.#servers.push(this.server);
  }

  /** Fails if an acknowledged edit cannot be rebuilt from the database alone. The embedded one must have no server. */
  nothingIsLost(): Promise<void> {
    return nothingIsLost(this.ledger, this.storage, [...this.documents]);
  }

  /** What the database alone has of the documents. The embedded one must have no server. */
  readStored(): ReturnType<typeof readStored> {
    return readStored(this.ledger, this.storage, [...this.documents]);
  }

  /**
   * The end of every test of a fault. Fails unless, now that it is healed, every edit is acknowledged; everybody who is there,
   * a newcomer over the wire and the database alone have the same, and nothing waits; the server has kept silent, holds no
   * more memory than the first one did at the beginning, and ends with 0.
   * @returns the acknowledged elements that wait for edits which somebody who left for good had not brought
   */
  async allIsWell(): Promise<string[]> {
    const copies = await allAgree(this.ledger, this.typists, this.url);
    await hasNoMoreMemory(this.#before, this.server);
    for (const typist of this.typists) typist.leave();
    await endsWell(this.server);
    for (const server of this.#servers) isSilent(server);
    return isAllStored(this.ledger, copies, this.storage, this.#gone);
  }
}
