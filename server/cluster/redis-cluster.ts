import * as random from 'lib0/random';
import { messageOf } from '../errors.ts';
import { withDeadline } from '../lifecycle.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import {
  PURPOSES,
  type Cluster,
  type ClusterEvents,
  type ConnectionInfo,
  type Deletion,
  type ConnectionsOf,
  type EncodePeople,
  type LogPosition,
  type Purpose,
} from './cluster.ts';
import { decodeMessage, encodeMessage, type Message, type MessageOf, type Received } from './messages.ts';
import { Neighbours } from './neighbours.ts';
import { Outbox, type Outgoing, type People } from './outbox.ts';
import { Questions } from './questions.ts';
import { LOST, MAX_MESSAGE_BYTES, RedisChannels } from './redis-channels.ts';
import type { RedisAddress } from './redis-clients.ts';
import { Rooms } from './rooms.ts';
import { Watermark } from './watermark.ts';

/** Each instance says so often that it is there; it hears that itself, so it knows as soon that both of its connections work. */
const BEAT_MS = 1_000;
/** Redis is away when nothing was heard for so long; then connections are made anew. */
const SILENCE_MS = 3_000;
/** And each time later, up to this, while that does not help: not to end those that only need longer. */
const PATIENCE_MAX_MS = 15_000;
/** Opening a document waits at most so long for the others. */
const ANSWERS_MS = 1_000;
/** An instance is alone when it has heard of no other for so long; longer than anybody takes to open a document, mostly. */
const ALONE_MS = 30_000;
/** Documents of which something could not be told are remembered until it can be said that it was not; up to this many. */
const MOST_UNTOLD = 10_000;
/** In the place of an update that is too large for a message; one without anything has two bytes. */
const TOO_LARGE = new Uint8Array();

export interface RedisClusterOptions {
  readonly address: RedisAddress;
  /** Of the names of channels: installations that share a Redis need different ones. */
  readonly prefix: string;
  /** Which history the database of this instance writes. */
  readonly timeline: () => string | null;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Instances that tell each other through Redis. */
export class RedisCluster implements Cluster {
  readonly #log: Log;
  readonly #metrics: Metrics;
  readonly #timeline: () => string | null;
  readonly #channels: RedisChannels;
  /** Another one with each start, since numbers of its log begin anew. */
  readonly instance = random.uint53().toString(36);
  readonly #rooms = new Rooms();
  readonly #questions = new Questions();
  /** Who is connected, as far as was answered yet. */
  readonly #gathering = new Map<number, ConnectionInfo[]>();
  readonly #outbox = new Outbox((document, outgoing) => this.#send(document, outgoing));
  readonly #neighbours = new Neighbours();
  readonly #watermark = new Watermark(() => this.#tellCommitted());
  /** Documents of which others have not been told something. */
  readonly #untold = new Set<string>();
  /** People in documents that are open here, of whom others have not been told something. */
  readonly #untoldPeople = new Map<string, People>();
  /** How far their logs are committed, as they have said. */
  readonly #committedBy = new Map<string, number>();
  #events: ClusterEvents | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #isThere = false;
  /** When it was there last; or was tried anew. */
  #thereAt = performance.now();
  /** How long after that it is tried anew. */
  #patienceMs = SILENCE_MS;
  /** When another instance was there last, as far as is known. */
  #accompaniedAt = performance.now();
  #beat = 0;
  /** The first of its heartbeats that has to be heard to know that Redis is there. */
  #awaited = 1;
  #beatAt = 0;
  /** The last of them that was heard. */
  #echoed = 0;
  /** When the timer was there last. */
  #tickedAt = performance.now();
  #term = 0;
  #isClosed = false;

  constructor({ address, prefix, timeline, log, metrics }: RedisClusterOptions) {
    this.#timeline = timeline;
    this.#log = log;
    this.#metrics = metrics;
    this.#channels = new RedisChannels({
      address,
      prefix,
      log,
      onMessage: (data) => this.#receive(data),
      onReady: () => this.#sayThatItIsThere(),
      onLost: () => this.#away(),
    });
  }

  listen(events: ClusterEvents): void {
    this.#events = events;
    // Heartbeats are heard once both are.
    void this.#channels.subscribe(this.#channels.ofInstance(this.instance));
    void this.#channels.subscribe(this.#channels.all).then(() => this.#sayThatItIsThere());
    this.#heartbeat = setInterval(() => this.#onBeat(), BEAT_MS);
    this.#heartbeat.unref();
  }

  get isThere(): boolean {
    return this.#isThere;
  }

  hears(instance: string): boolean {
    return this.#neighbours.has(instance);
  }

  join(document: string): void {
    if (this.#rooms.has(document)) return;
    this.#rooms.add(document, this.#channels.subscribe(this.#channels.ofDocument(document)));
    this.#metrics.subscribedDocuments.set(this.#rooms.size);
  }

  leave(document: string): void {
    if (!this.#rooms.has(document)) return;
    this.#outbox.flush(document);
    this.#rooms.delete(document);
    this.#untoldPeople.delete(document);
    this.#metrics.subscribedDocuments.set(this.#rooms.size);
    this.#channels.unsubscribe(this.#channels.ofDocument(document));
  }

  relay(document: string, update: Uint8Array, sequence: number, attribution = ''): void {
    if (attribution === '') this.#outbox.addUpdate(document, update, sequence);
    else this.#outbox.sendAlone(document, update, sequence, attribution);
  }

  tellPresence(document: string, clients: Iterable<number>, encode: EncodePeople): void {
    this.#outbox.addPeople(document, { clients, encode });
  }

  async ask(document: string, stateVector: Uint8Array, purpose: Purpose): Promise<boolean> {
    if (purpose === 'joining') this.#rooms.opened(document);
    if (!this.#isThere) return false;
    const id = this.#questions.ask(purpose);
    let isComplete = false;
    const asking = async () => {
      await this.#rooms.joined(document);
      const count = this.#rooms.count(document);
      const question = { document, count, id, purpose: PURPOSES.indexOf(purpose), stateVector };
      const heard = await this.#publish(this.#channels.ofDocument(document), {
        kind: 'question',
        ...question,
      });
      if (heard !== LOST) this.#untold.delete(document);
      // This instance is one of those who hear it.
      if (purpose === 'checking') isComplete = heard >= 1;
      else if (heard > 1) isComplete = await this.#questions.allHave(id, heard - 1);
      else isComplete = heard === 1 && purpose === 'joining' && this.#isAlone;
    };
    await withDeadline(asking(), ANSWERS_MS);
    this.#questions.close(id);
    // Who has nothing that a state vector shows may have a deletion; and who had that may have closed the document since.
    return isComplete && purpose !== 'returning';
  }

  /** Whether nobody can have closed a document just now. */
  get #isAlone(): boolean {
    return this.#neighbours.count === 0 && performance.now() - this.#accompaniedAt > ALONE_MS;
  }

  committed(sequence: number): void {
    this.#watermark.rise(sequence);
  }

  refused(): void {
    this.#term += 1;
  }

  stored(document: string): void {
    void this.#publish(this.#channels.ofDocument(document), { kind: 'stored', document });
  }

  damaged(document: string): void {
    void this.#publish(this.#channels.all, { kind: 'damaged', document });
  }

  revoked(): void {
    void this.#publish(this.#channels.all, { kind: 'revoked' });
  }

  deleted({ document, id, to = '' }: Deletion): void {
    void this.#publish(this.#channels.all, { kind: 'deleted', document, documentId: id, to });
  }

  async connectionsTo(document: string): Promise<ConnectionInfo[]> {
    if (!this.#isThere) return [];
    const found: ConnectionInfo[] = [];
    const id = this.#questions.ask('checking');
    this.#gathering.set(id, found);
    const asking = async () => {
      const heard = await this.#publish(this.#channels.all, { kind: 'who', document, id });
      if (heard > 1) await this.#questions.allHave(id, heard - 1);
    };
    await withDeadline(asking(), ANSWERS_MS);
    this.#questions.close(id);
    this.#gathering.delete(id);
    return found;
  }

  disconnect({ document = '', user = '' }: ConnectionsOf): void {
    void this.#publish(this.#channels.all, { kind: 'disconnect', document, user });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#heartbeat);
    this.#watermark.close();
    // What is committed by now its clients may be told by others.
    this.#watermark.tell();
    await withDeadline(this.#publish(this.#channels.all, { kind: 'left' }), ANSWERS_MS);
    this.#channels.close();
  }

  /** How this one's log is known at the moment, beside its instance. */
  get #life(): string {
    return `${this.#timeline() ?? ''}.${this.#term}`;
  }

  #onBeat(): void {
    const now = performance.now();
    const sinceMs = now - this.#tickedAt;
    const lateMs = sinceMs - BEAT_MS;
    this.#tickedAt = now;
    if (!this.#isThere) this.#metrics.degradedSeconds.inc(sinceMs / 1000);
    // Others may have taken it for ended meanwhile, and what they said may be lost.
    if (lateMs > SILENCE_MS) this.#away();
    this.#sayThatItIsThere();
    // A process that was busy, or stopped, has not read what has come meanwhile.
    if (lateMs > BEAT_MS) return;
    if (now - this.#thereAt > this.#patienceMs) this.#tryAnew(now);
    for (const instance of this.#neighbours.takeSilent()) this.#hasEnded(instance);
    for (const document of this.#untold) void this.#tellThatItWasNotTold(document);
  }

  /** Others look for themselves, in the database if nobody has the document any more. Of one that is open here counts tell them. */
  async #tellThatItWasNotTold(document: string): Promise<void> {
    if (this.#rooms.has(document)) return;
    const heard = await this.#publish(this.#channels.ofDocument(document), { kind: 'missed', document });
    if (heard !== LOST) this.#untold.delete(document);
  }

  #sayThatItIsThere(): void {
    this.#beat += 1;
    this.#beatAt = performance.now();
    this.#watermark.tell();
  }

  #tellCommitted(): void {
    const standing = { life: this.#life, sequence: this.#watermark.committed, beat: this.#beat };
    void this.#publish(this.#channels.all, { kind: 'committed', ...standing });
  }

  /** Nothing was heard for long: a connection may be dead, or Redis frozen. */
  #tryAnew(now: number): void {
    this.#away();
    this.#thereAt = now;
    this.#patienceMs = Math.min(2 * this.#patienceMs, PATIENCE_MAX_MS);
    this.#channels.reconnect();
  }

  #away(): void {
    // Only one that is sent from now on says that both connections are there again.
    this.#awaited = this.#beat + 1;
    if (!this.#isThere) return;
    this.#isThere = false;
    this.#log.warn('Redis is away: people at other instances are seen later');
  }

  #heardSelf({ beat }: MessageOf<'committed'>): void {
    const now = performance.now();
    if (beat < this.#awaited) return;
    this.#thereAt = now;
    this.#patienceMs = SILENCE_MS;
    // What is committed is told with the same number again.
    if (beat === this.#beat && beat !== this.#echoed)
      this.#metrics.redisRoundTripSeconds.observe((now - this.#beatAt) / 1000);
    this.#echoed = beat;
    if (this.#isThere || this.#isClosed) return;
    this.#isThere = true;
    this.#channels.recovered();
    this.#metrics.redisReconnects.inc();
    this.#log.info('Redis is there');
    this.#tellUntoldPeople();
    this.#events?.reconnected();
  }

  #hasLeft(instance: string): void {
    this.#neighbours.delete(instance);
    this.#rooms.forget(instance);
    this.#hasEnded(instance);
  }

  /** Or is silent: what it has said counts on, should it be back. */
  #hasEnded(instance: string): void {
    this.#accompaniedAt = performance.now();
    for (const log of this.#committedBy.keys())
      if (log.startsWith(`${instance}/`)) this.#committedBy.delete(log);
    this.#events?.left(instance);
  }

  #receive(data: Uint8Array): void {
    try {
      const message = decodeMessage(data, this.instance);
      if (message === null) return;
      if (message.instance === this.instance) {
        if (message.kind === 'committed') this.#heardSelf(message);
        return;
      }
      if (this.#neighbours.heard(message.instance)) this.#events?.returned(message.instance);
      if (this.#events) this.#handle(message, this.#events);
    } catch (error) {
      // Nothing depends on it, and another installation may use the same prefix.
      this.#log.warn({ err: messageOf(error) }, 'a message of another instance is passed over');
    }
  }

  #handle(message: Received, events: ClusterEvents): void {
    const { instance } = message;
    switch (message.kind) {
      case 'updates':
        this.#receiveUpdates(message, instance, events);
        break;
      case 'question':
        this.#receiveQuestion(message, instance, events);
        break;
      case 'answer':
        this.#receiveAnswer(message, instance, events);
        break;
      case 'pass':
        this.#receivePass(message, instance, events);
        break;
      case 'presence':
        events.presence(message.document, message.presence, instance);
        break;
      case 'missed':
        events.missed(message.document, instance);
        break;
      case 'stored':
        events.stored(message.document);
        break;
      case 'committed':
        this.#hasCommitted({ log: `${instance}/${message.life}`, sequence: message.sequence }, events);
        break;
      case 'damaged':
        events.damaged(message.document);
        break;
      case 'revoked':
        events.revoked();
        break;
      case 'who': {
        const connections = toldInOneMessage(events.connectionsTo(message.document));
        void this.#publish(this.#channels.ofInstance(instance), {
          kind: 'here',
          id: message.id,
          connections,
        });
        break;
      }
      case 'here':
        this.#gathering.get(message.id)?.push(...(JSON.parse(message.connections) as ConnectionInfo[]));
        this.#questions.answered(message.id, instance);
        break;
      case 'deleted':
        events.deleted({ document: message.document, id: message.documentId, to: message.to || undefined });
        break;
      case 'disconnect':
        events.disconnected({ document: message.document || undefined, user: message.user || undefined });
        break;
      case 'left':
        this.#hasLeft(instance);
    }
  }

  #receiveUpdates(message: MessageOf<'updates'>, instance: string, events: ClusterEvents): void {
    const { document, update, count, life, sequence, committed, sentAt, attribution } = message;
    const log = `${instance}/${life}`;
    // The clocks of two machines differ.
    this.#metrics.relaySeconds.observe(Math.max(0, Date.now() - sentAt) / 1000);
    const isTooLarge = update.byteLength === TOO_LARGE.byteLength;
    if (!isTooLarge) events.updated(document, update, { log, sequence }, attribution);
    this.#hasCommitted({ log, sequence: committed }, events, sequence);
    this.#watermark.waitedFor(this.#rooms.relayed(document));
    if (this.#rooms.hasMissed(document, instance, count) || isTooLarge) events.missed(document, null);
  }

  #receiveQuestion(message: MessageOf<'question'>, instance: string, events: ClusterEvents): void {
    const { document, id, stateVector } = message;
    const purpose = PURPOSES[message.purpose] ?? 'comparing';
    if (purpose === 'joining') this.#rooms.isWhole(document, instance, message.count);
    else if (this.#rooms.isBehind(document, instance, message.count)) events.missed(document, null);
    const answer = events.asked(document, stateVector, purpose);
    const channel = this.#channels.ofInstance(instance);
    const what = { document, count: this.#rooms.count(document), id };
    if (answer === null) {
      if (purpose !== 'checking') void this.#publish(channel, { kind: 'pass', ...what });
      return;
    }
    this.#watermark.relayed(answer.sequence);
    // Who opens a document is about to repeat what it has.
    this.#watermark.waitedFor(answer.sequence);
    const standing = { life: this.#life, committed: this.#watermark.committed };
    void this.#publish(channel, { kind: 'answer', ...what, ...standing, ...answer });
  }

  #receivePass(message: MessageOf<'pass'>, instance: string, events: ClusterEvents): void {
    const { document, count, id } = message;
    // It has nothing that is new, or is opening the document; but may have told of a deletion that did not arrive.
    if (this.#questions.passed(id, instance) !== 'returning') this.#rooms.isWhole(document, instance, count);
    else if (this.#rooms.isBehind(document, instance, count)) events.missed(document, null);
  }

  #receiveAnswer(message: MessageOf<'answer'>, instance: string, events: ClusterEvents): void {
    const { document, count, id, life, sequence, committed, update, presence, pending } = message;
    this.#questions.answered(id, instance);
    this.#rooms.isWhole(document, instance, count);
    const log = `${instance}/${life}`;
    events.answered(document, { update, sequence, presence, pending }, { log, sequence }, instance);
    this.#hasCommitted({ log, sequence: committed }, events, sequence);
  }

  /** @param since - what has arrived with this: what was said before may confirm it, too, since channels overtake each other */
  #hasCommitted({ log, sequence: committed }: LogPosition, events: ClusterEvents, since = Infinity): void {
    // What the database from before a failover has, or the one after it, is not what this instance would read.
    const [, timeline] = /\/(.*)\.\d+$/.exec(log) ?? [];
    if (timeline !== (this.#timeline() ?? '')) return;
    const known = this.#committedBy.get(log) ?? -1;
    const sequence = Math.max(known, committed);
    this.#committedBy.set(log, sequence);
    if (sequence > known || sequence >= since) events.committed({ log, sequence });
  }

  #send(document: string, { update, sequence, attribution, people }: Outgoing): void {
    const channel = this.#channels.ofDocument(document);
    if (update !== null) {
      this.#watermark.relayed(sequence);
      const count = this.#rooms.countOne(document, sequence);
      const standing = {
        life: this.#life,
        sequence,
        committed: this.#watermark.committed,
        sentAt: Date.now(),
      };
      this.#metrics.relays.inc();
      void this.#tell(channel, { kind: 'updates', document, count, ...standing, update, attribution });
    }
    if (people !== null) void this.#tellPeople(document, people);
  }

  async #tell(channel: string, message: MessageOf<'updates'> | MessageOf<'presence'>): Promise<number> {
    const heard = await this.#publish(channel, message);
    if (heard === LOST && this.#untold.size < MOST_UNTOLD) this.#untold.add(message.document);
    return heard;
  }

  /** Those who leave meanwhile are not told of by the comparison that follows. */
  async #tellPeople(document: string, people: People): Promise<void> {
    const presence = people.encode([...people.clients]);
    if (presence === null) return;
    const channel = this.#channels.ofDocument(document);
    const heard = await this.#tell(channel, { kind: 'presence', document, presence });
    if (heard !== LOST || !this.#rooms.has(document)) return;
    const clients = new Set([...(this.#untoldPeople.get(document)?.clients ?? []), ...people.clients]);
    this.#untoldPeople.set(document, { ...people, clients });
  }

  #tellUntoldPeople(): void {
    for (const [document, people] of this.#untoldPeople) this.#outbox.addPeople(document, people);
    this.#untoldPeople.clear();
  }

  /** @returns how many have heard it, {@link LOST} when it was not sent. Does not reject. */
  #publish(channel: string, message: Message): Promise<number> {
    return this.#channels.publish(channel, this.#encode(message));
  }

  #encode(message: Message): Uint8Array {
    const bytes = encodeMessage(this.instance, message);
    if (bytes.byteLength <= MAX_MESSAGE_BYTES || !('sequence' in message && 'update' in message))
      return bytes;
    return encodeMessage(this.instance, { ...message, update: TOO_LARGE });
  }
}

/** Of a crowd without what they say of themselves, which may be a thousand times as much. */
function toldInOneMessage(connections: readonly ConnectionInfo[]): string {
  const all = JSON.stringify(connections);
  if (all.length <= MAX_MESSAGE_BYTES / 2) return all;
  return JSON.stringify(
    connections.map(({ user, access, protocol }) => ({ user, access, protocol, presence: [] })),
  );
}
