import * as random from 'lib0/random';
import { messageOf } from '../errors.ts';
import { withDeadline } from '../lifecycle.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { PURPOSES, type Cluster, type ClusterEvents, type ConnectionsOf, type Purpose } from './cluster.ts';
import { decodeMessage, encodeMessage, type Message, type MessageOf, type Received } from './messages.ts';
import { Outbox, type Outgoing } from './outbox.ts';
import { Questions } from './questions.ts';
import { RedisChannels } from './redis-channels.ts';
import type { RedisAddress } from './redis-clients.ts';
import { Rooms } from './rooms.ts';

/** Each instance says so often that it is there; it hears that itself, so it knows as soon that both of its connections work. */
const BEAT_MS = 1_000;
/** Redis is away when nothing was heard for so long. */
const SILENCE_MS = 3_000;
/** And an instance has ended, unless it has said so before. */
const DEAD_MS = 7_000;
/** Opening a document waits at most so long for the others. */
const ANSWERS_MS = 1_000;
/** Instances that have ended are remembered, should they be back; up to this many. */
const REMEMBERED = 1_000;
/** Others are told at most this often what is committed, beside what edits say of it; they write it themselves after 500 ms. */
const COMMITTED_MS = 200;
/** And this often where they have edited, too: their acks wait for that. */
const WAITED_FOR_MS = 50;

export interface RedisClusterOptions {
  readonly address: RedisAddress;
  /** Of the names of channels: installations that share a Redis need different ones. */
  readonly prefix: string;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Instances that tell each other through Redis. */
export class RedisCluster implements Cluster {
  readonly #log: Log;
  readonly #metrics: Metrics;
  readonly #channels: RedisChannels;
  /** Another one with each start, since numbers of its log begin anew. */
  readonly instance = random.uint53().toString(36);
  readonly #rooms = new Rooms();
  readonly #questions = new Questions();
  readonly #outbox = new Outbox((document, outgoing) => this.#send(document, outgoing));
  /** When other instances were heard last. */
  readonly #heardAt = new Map<string, number>();
  /** Those who were not heard of for too long. */
  readonly #silent = new Set<string>();
  /** How far their logs are committed, as they have said. */
  readonly #committedBy = new Map<string, number>();
  #events: ClusterEvents | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #isThere = false;
  /** When it was there last; or was tried anew. */
  #thereAt = performance.now();
  #beat = 0;
  /** The first of its heartbeats that has to be heard to know that Redis is there. */
  #awaited = 1;
  #beatAt = 0;
  #term = 0;
  #committed = 0;
  #toldAt = -Infinity;
  #toldCommitted = 0;
  /** The highest number that others know of. */
  #relayed = 0;
  /** And that they wait for, since they have edited the same document. */
  #waitedFor = 0;
  #tellTimer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor({ address, prefix, log, metrics }: RedisClusterOptions) {
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
    return this.#heardAt.has(instance);
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
    this.#metrics.subscribedDocuments.set(this.#rooms.size);
    void this.#channels.unsubscribe(this.#channels.ofDocument(document));
  }

  relay(document: string, update: Uint8Array, sequence: number): void {
    this.#outbox.addUpdate(document, update, sequence);
  }

  tellPresence(
    document: string,
    clients: Iterable<number>,
    encode: (clients: number[]) => Uint8Array | null,
  ): void {
    this.#outbox.addPresence(document, clients, encode);
  }

  async ask(document: string, stateVector: Uint8Array, purpose: Purpose): Promise<void> {
    if (!this.#isThere) return;
    const id = this.#questions.ask();
    const asking = async () => {
      await this.#rooms.joined(document);
      const count = this.#rooms.count(document);
      const question = { document, count, id, purpose: PURPOSES.indexOf(purpose), stateVector };
      const channel = this.#channels.ofDocument(document);
      const heard = await this.#publish(channel, { kind: 'question', ...question });
      // This instance is one of those who hear it.
      if (purpose !== 'checking') await this.#questions.allHave(id, heard - 1);
    };
    await withDeadline(asking(), ANSWERS_MS);
    this.#questions.close(id);
  }

  committed(sequence: number): void {
    this.#committed = sequence;
    if (this.#tellTimer === undefined) this.#tellCommittedLater();
  }

  refused(): void {
    this.#term += 1;
  }

  revoked(): void {
    void this.#publish(this.#channels.all, { kind: 'revoked' });
  }

  disconnect({ document = '', user = '' }: ConnectionsOf): void {
    void this.#publish(this.#channels.all, { kind: 'disconnect', document, user });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#heartbeat);
    clearTimeout(this.#tellTimer);
    // What is committed by now its clients may be told by others.
    this.#tellCommitted();
    await withDeadline(this.#publish(this.#channels.all, { kind: 'left' }), ANSWERS_MS);
    this.#channels.close();
  }

  #logOf(instance: string, term: number): string {
    return `${instance}/${term}`;
  }

  #onBeat(): void {
    this.#sayThatItIsThere();
    const now = performance.now();
    if (!this.#isThere) this.#metrics.degradedSeconds.inc(BEAT_MS / 1000);
    if (now - this.#thereAt > SILENCE_MS) this.#tryAnew(now);
    for (const [instance, heardAt] of this.#heardAt) {
      if (now - heardAt < DEAD_MS) continue;
      this.#hasLeft(instance);
      this.#silent.add(instance);
      if (this.#silent.size > REMEMBERED) this.#silent.delete(this.#silent.values().next().value ?? '');
    }
  }

  #sayThatItIsThere(): void {
    this.#beat += 1;
    this.#beatAt = performance.now();
    this.#tellCommitted();
  }

  /** Others have edited a document, and wait for what they have been told of it. */
  #isWaitedFor(sequence: number): void {
    if (sequence <= this.#toldCommitted) return;
    this.#waitedFor = Math.max(this.#waitedFor, sequence);
    clearTimeout(this.#tellTimer);
    this.#tellTimer = undefined;
    this.#tellCommittedLater();
  }

  #tellCommittedLater(): void {
    const isNews = () => this.#toldCommitted < Math.min(this.#relayed, this.#committed);
    if (!isNews()) return;
    const pause = this.#waitedFor > this.#toldCommitted ? WAITED_FOR_MS : COMMITTED_MS;
    this.#tellTimer = setTimeout(
      () => {
        this.#tellTimer = undefined;
        if (isNews()) this.#tellCommitted();
      },
      Math.max(0, this.#toldAt + pause - performance.now()),
    );
  }

  #tellCommitted(): void {
    this.#toldAt = performance.now();
    this.#toldCommitted = this.#committed;
    const standing = { term: this.#term, sequence: this.#committed, beat: this.#beat };
    void this.#publish(this.#channels.all, { kind: 'committed', ...standing });
  }

  /** Nothing was heard for long: a connection may be dead, or Redis frozen. */
  #tryAnew(now: number): void {
    this.#away();
    this.#thereAt = now;
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
    if (beat === this.#beat) this.#metrics.redisRoundTripSeconds.observe((now - this.#beatAt) / 1000);
    if (this.#isThere || this.#isClosed) return;
    this.#isThere = true;
    this.#channels.recovered();
    this.#metrics.redisReconnects.inc();
    this.#log.info('Redis is there');
    this.#events?.reconnected();
  }

  #hasLeft(instance: string): void {
    this.#heardAt.delete(instance);
    for (const log of this.#committedBy.keys())
      if (log.startsWith(`${instance}/`)) this.#committedBy.delete(log);
    this.#rooms.forget(instance);
    this.#events?.left(instance);
  }

  #receive(data: Uint8Array): void {
    try {
      const message = decodeMessage(data, this.instance);
      if (message === null) return;
      if (message.instance !== this.instance) {
        this.#heardAt.set(message.instance, performance.now());
        if (this.#silent.delete(message.instance)) this.#events?.returned(message.instance);
        if (this.#events) this.#handle(message, this.#events);
      } else if (message.kind === 'committed') {
        this.#heardSelf(message);
      }
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
      case 'presence':
        events.presence(message.document, message.update, instance);
        break;
      case 'committed':
        this.#hasCommitted(this.#logOf(instance, message.term), message.sequence, events);
        break;
      case 'revoked':
        events.revoked();
        break;
      case 'disconnect':
        events.disconnected({ document: message.document || undefined, user: message.user || undefined });
        break;
      case 'left':
        this.#hasLeft(instance);
    }
  }

  #receiveUpdates(message: MessageOf<'updates'>, instance: string, events: ClusterEvents): void {
    const { document, update, count, term, sequence, committed, sentAt } = message;
    const log = this.#logOf(instance, term);
    // The clocks of two machines differ.
    this.#metrics.relaySeconds.observe(Math.max(0, Date.now() - sentAt) / 1000);
    events.updated(document, update, { log, sequence });
    this.#hasCommitted(log, committed, events, sequence);
    this.#isWaitedFor(this.#rooms.relayed(document));
    if (this.#rooms.hasMissed(document, instance, count)) events.missed(document);
  }

  #receiveQuestion(message: MessageOf<'question'>, instance: string, events: ClusterEvents): void {
    const { document, id, stateVector } = message;
    const purpose = PURPOSES[message.purpose] ?? 'comparing';
    if (purpose === 'joining') this.#rooms.isWhole(document, instance, message.count);
    else if (this.#rooms.isBehind(document, instance, message.count)) events.missed(document);
    const answer = events.asked(document, stateVector, purpose);
    if (answer === null) return;
    this.#relayed = Math.max(this.#relayed, answer.sequence);
    // Who opens a document is about to repeat what it has.
    this.#isWaitedFor(answer.sequence);
    const count = this.#rooms.count(document);
    const standing = { document, count, id, term: this.#term, committed: this.#committed };
    void this.#publish(this.#channels.ofInstance(instance), { kind: 'answer', ...standing, ...answer });
  }

  #receiveAnswer(message: MessageOf<'answer'>, instance: string, events: ClusterEvents): void {
    const { document, count, id, term, sequence, committed, update, presence } = message;
    this.#rooms.isWhole(document, instance, count);
    const log = this.#logOf(instance, term);
    events.answered(document, { update, sequence, presence }, { log, sequence }, instance);
    this.#hasCommitted(log, committed, events, sequence);
    this.#questions.answered(id, instance);
  }

  /** @param since - what has arrived with this: what was said before may confirm it, too, since channels overtake each other */
  #hasCommitted(log: string, committed: number, events: ClusterEvents, since = Infinity): void {
    const known = this.#committedBy.get(log) ?? -1;
    const sequence = Math.max(known, committed);
    this.#committedBy.set(log, sequence);
    if (sequence > known || sequence >= since) events.committed({ log, sequence });
  }

  #send(document: string, { update, sequence, presence }: Outgoing): void {
    const channel = this.#channels.ofDocument(document);
    if (update !== null) {
      this.#relayed = Math.max(this.#relayed, sequence);
      const count = this.#rooms.countOne(document, sequence);
      const standing = { term: this.#term, sequence, committed: this.#committed, sentAt: Date.now() };
      this.#metrics.relays.inc();
      void this.#publish(channel, { kind: 'updates', document, count, ...standing, update });
    }
    if (presence !== null) void this.#publish(channel, { kind: 'presence', document, update: presence });
  }

  /** @returns how many have heard it. Does not reject. */
  #publish(channel: string, message: Message): Promise<number> {
    // Heartbeats find out whether it is back.
    if (!this.#isThere && message.kind !== 'committed' && message.kind !== 'left') return Promise.resolve(0);
    return this.#channels.publish(channel, encodeMessage(this.instance, message));
  }
}
