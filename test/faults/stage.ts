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
import { Seat } from './seat.ts';
import { startTypist, type Typist } from './typist.ts';
import {
  allAgree,
  endsWell,
  hasNoMoreMemory,
  isAllStored,
  isSilent,
  nothingIsLost,
  peopleAgree,
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
  /** Settings of the server; of all, if there are several. */
  env?: Record<string, string>;
  /** Beside those of all the settings of each of several servers, among which people are spread. */
  servers?: readonly Record<string, string>[];
  /** A proxy to be put between clients and server, once there is one. */
  between?: (url: string) => Promise<Proxy>;
  documents?: string[];
  /** Nobody is offline by themselves. */
  isAlwaysOnline?: boolean;
  /** Of the choices; `SEED` when left out. */
  seed?: number;
}

/** Servers in processes of their own, mostly one, and people with real providers in some of its documents, who live through every fault. */
export class Stage {
  readonly ledger = new Ledger();
  /** By which people type, as often as there is time. */
  readonly random: () => number;
  /** By which faults are chosen: by numbers of their own, or they would depend on how much is typed in between. */
  readonly chance: () => number;
  readonly storage: Storage;
  readonly documents: readonly string[];
  /** In each document one of each protocol; of several servers, somebody at each. */
  readonly typists: Typist[] = [];
  /** Those of now, each at its place. */
  readonly servers: ServerProcess[];
  readonly #options: StageOptions;
  /** All that there were. */
  readonly #started: ServerProcess[];
  readonly #seats = new Map<Typist, Seat>();
  /** Of the first servers, when everybody had typed once. */
  #before: Memory[] = [];
  #joined = 0;
  /** Clients that never come back. */
  readonly #gone = new Set<number>();

  static async set(options: StageOptions): Promise<Stage> {
    onTestFailed(() => void process.stdout.write(`SEED=${SEED}\n`));
    const env = { ...COLLECTING, ...options.env };
    const storage = options.serverStorage ?? options.storage;
    const places = options.servers ?? [{}];
    const servers = await Promise.all(places.map((its) => spawnServer(storage, { ...env, ...its })));
    const stage = new Stage({ ...options, env }, servers, await seatsOf(options, servers));
    await Promise.all(stage.typists.map((typist) => (typist.type(), typist.settled())));
    stage.#before = await Promise.all(servers.map(memoryOf));
    return stage;
  }

  private constructor(options: StageOptions, servers: readonly ServerProcess[], seats: readonly Seat[]) {
    this.#options = options;
    this.storage = options.storage;
    this.servers = [...servers];
    this.#started = [...servers];
    const { seed = SEED } = options;
    this.random = randomOf(seed);
    this.chance = randomOf(seed);
    this.documents = documentsOf(options);
    for (const seat of seats) this.#join(seat);
  }

  /** The only one; of several the first. */
  get server(): ServerProcess {
    return this.servers[0] as ServerProcess;
  }

  /** What clients connect to. */
  get url(): string {
    return this.#seatOf(this.typists[0]).url;
  }

  #join(seat: Seat): void {
    const { document, protocol, url } = seat;
    const name = `${protocol}.${(this.#joined += 1)}@${document}`;
    const { ledger, random } = this;
    const { isAlwaysOnline } = this.#options;
    const typist = startTypist({ protocol, url, document, name, ledger, random, isAlwaysOnline });
    this.typists.push(typist);
    this.#seats.set(typist, seat);
  }

  #seatOf(typist: Typist | undefined): Seat {
    const seat = typist && this.#seats.get(typist);
    if (seat === undefined) throw new Error('nobody who is there');
    return seat;
  }

  /** Who is at a server, or comes to it with their next line. */
  peopleAt(place: number): Typist[] {
    return this.typists.filter((typist) => this.#seatOf(typist).place === place);
  }

  /** Somebody's next line goes to the server at another place. */
  lead(typist: Typist, place: number): void {
    this.#seatOf(typist).leadTo(this.servers, place);
  }

  /** Somebody comes to the server at another place at once, and brings what is not acknowledged. */
  move(typist: Typist, place: number): void {
    this.#seatOf(typist).moveTo(this.servers, place);
  }

  /** Some leave for good, with what is not acked; others come in their place. */
  someAreReplaced(): void {
    const { typists } = this;
    for (const typist of typists.filter(() => this.chance() < REPLACED)) {
      typist.abandon();
      this.#gone.add(typist.doc.clientID);
      typists.splice(typists.indexOf(typist), 1);
      this.#join(this.#seatOf(typist));
      this.#seats.delete(typist);
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

  /** Fails unless within this time everybody has the same of their document, whichever server they are at. */
  agreed(deadlineMs: number): Promise<void> {
    return peopleAgree(this.typists, deadlineMs);
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

  /** Starts a server where the last one of its place, which has ended, was. */
  async startServer(env: Record<string, string> = {}, place = 0): Promise<void> {
    const { port } = new URL(this.servers[place]?.url ?? '');
    const { serverStorage, storage, servers } = this.#options;
    const settings = { ...this.#options.env, ...servers?.[place], PORT: port, ...env };
    const server = await spawnServer(serverStorage ?? storage, settings);
    this.servers[place] = server;
    this.#started.push(server);
  }

  /** Fails if an acknowledged edit cannot be rebuilt from the database alone. The embedded one must have no server. */
  nothingIsLost(): Promise<void> {
    return nothingIsLost(this.ledger.copy(), this.storage, [...this.documents]);
  }

  /** What the database alone has of the documents. The embedded one must have no server. */
  readStored(): ReturnType<typeof readStored> {
    return readStored(this.ledger.copy(), this.storage, [...this.documents]);
  }

  /**
   * The end of every test of a fault. Fails unless, now that it is healed, every edit is acknowledged; everybody who is there,
   * a newcomer over the wire (at each server) and the database alone have the same, and nothing waits; servers have kept silent,
   * hold no more memory than the first ones did at the beginning, and end with 0.
   * @returns the acknowledged elements that wait for edits which somebody who left for good had not brought
   */
  async allIsWell(): Promise<string[]> {
    const urls = this.#options.servers === undefined ? [this.url] : this.servers.map(({ url }) => url);
    const copies = await allAgree(this.ledger, this.typists, urls);
    const remains = this.servers.map((server, place) =>
      hasNoMoreMemory(this.#before[place] as Memory, server),
    );
    await Promise.all(remains);
    for (const typist of this.typists) typist.leave();
    await Promise.all(this.servers.map(endsWell));
    for (const server of this.#started) isSilent(server);
    return isAllStored(this.ledger, copies, this.storage, this.#gone);
  }
}

function documentsOf({ documents }: StageOptions): readonly string[] {
  return documents ?? ['faults/one', 'faults/two', 'faults/three'];
}

/** In each document one for each protocol, at the one address; of several servers somebody at each, with an address of their own. */
async function seatsOf(options: StageOptions, servers: readonly ServerProcess[]): Promise<Seat[]> {
  const [server] = servers as [ServerProcess];
  const documents = documentsOf(options);
  if (options.servers === undefined) {
    const address = { url: (await options.between?.(server.url))?.url ?? server.url };
    return documents.flatMap((document) =>
      PROTOCOLS.map((protocol) => new Seat({ document, protocol }, address)),
    );
  }
  const count = Math.max(PROTOCOLS.length, servers.length);
  return Promise.all(
    documents.flatMap((document, index) =>
      Array.from({ length: count }, (_, number) => {
        const protocol = PROTOCOLS[(index * count + number) % PROTOCOLS.length] as Protocol;
        return Seat.at(servers, (index + number) % servers.length, { document, protocol });
      }),
    ),
  );
}
