import { Redis } from '@hocuspocus/extension-redis';
import {
  type RedisAddress,
  type RedisClient,
  connectPublisher,
  connectSubscriber,
  lookUpNodes,
} from './redis-clients.ts';

/** How often it is looked up which nodes of a cluster have which channels, so that a node that fell silent is left. */
const NODES_MS = 2_000;

export interface ConnectionEvents {
  readonly onMessage: (data: Uint8Array) => void;
  /** Channels can be subscribed to. Those that were before are heard no more, if it was there before. */
  readonly onSubscriberReady: () => void;
  /** A connection is there; maybe again. */
  readonly onReady: () => void;
  /** A connection has ended: messages are lost in one direction. */
  readonly onLost: () => void;
  readonly onError: (error: unknown) => void;
}

/**
 * One connection that publishes and one that hears, to one server or to all nodes of a cluster, in the frame of the extension. The rest
 * of that is not used: it publishes a state vector for each change, which everybody answers with a difference and all deletions, stores
 * under a lock that may end too early, waits a second before it lets go of a document, and opens none without Redis.
 *
 * They connect again by themselves when they have ended, until they are closed. They are never told to: a subscriber of a cluster that is
 * (`disconnect(true)`) while it connects to a node waits for that node for ever, and one that was closed passes no message on (seen with
 * ioredis 5.11). Who wants others makes them anew.
 */
export class RedisConnections extends Redis {
  readonly #isCluster: boolean;
  readonly #publisher: RedisClient;
  readonly #subscriber: RedisClient;
  readonly #events: ConnectionEvents;
  readonly #lookingUp: NodeJS.Timeout;
  /** When some channels of a cluster went to another node; since then all of them were not asked for again. */
  #movedAt: number | undefined;
  #isClosed = false;

  constructor(address: RedisAddress, events: ConnectionEvents) {
    const [publisher, subscriber] = [connectPublisher(address), connectSubscriber(address)];
    const clients = [publisher, subscriber].values();
    // By its types of another version of ioredis.
    super({ createClient: () => clients.next().value });
    [this.#publisher, this.#subscriber] = [publisher, subscriber];
    this.#isCluster = address.isCluster;
    subscriber.removeAllListeners('messageBuffer');
    this.#events = events;
    this.#listen(events);
    this.#lookingUp = setInterval(() => this.#lookUp(), NODES_MS).unref();
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get canPublish(): boolean {
    return this.#publisher.status === 'ready';
  }

  get canSubscribe(): boolean {
    return this.#subscriber.status === 'ready';
  }

  /** @returns how many have heard it */
  async publish(channel: string, data: Buffer): Promise<number> {
    const publisher = this.#publisher;
    return Number(
      await (this.#isCluster ? publisher.spublish(channel, data) : publisher.publish(channel, data)),
    );
  }

  /** @param channels - of a cluster one: others may be on other nodes */
  async subscribe(channels: string[]): Promise<void> {
    const subscriber = this.#subscriber;
    await (this.#isCluster ? subscriber.ssubscribe(...channels) : subscriber.subscribe(...channels));
  }

  async unsubscribe(channel: string): Promise<void> {
    const subscriber = this.#subscriber;
    await (this.#isCluster ? subscriber.sunsubscribe(channel) : subscriber.unsubscribe(channel));
  }

  /** What they are in the midst of fails, and nothing is heard of them any more. */
  close(): void {
    this.#isClosed = true;
    clearInterval(this.#lookingUp);
    this.#publisher.disconnect();
    this.#subscriber.disconnect();
  }

  #lookUp(): void {
    lookUpNodes(this.#publisher);
    lookUpNodes(this.#subscriber);
    // While a node is down they go back and forth.
    if (this.#movedAt === undefined || performance.now() - this.#movedAt < NODES_MS || !this.canSubscribe)
      return;
    this.#movedAt = undefined;
    // The library asks for them again, and does not say which are heard; what was said meanwhile is lost.
    this.#events.onSubscriberReady();
    this.#events.onLost();
    this.#events.onReady();
  }

  #listen({ onMessage, onSubscriberReady, onReady, onLost, onError }: ConnectionEvents): void {
    // They take a while to end.
    const untilClosed =
      <T extends unknown[]>(listener: (...args: T) => void) =>
      (...args: T) => {
        if (!this.#isClosed) listener(...args);
      };
    const receive = untilClosed((_channel: unknown, data: Uint8Array) => onMessage(data));
    this.#subscriber.on('messageBuffer', receive).on('smessageBuffer', receive);
    this.#subscriber.on('ready', untilClosed(onSubscriberReady));
    this.#subscriber.on('ready', () => (this.#movedAt = undefined));
    this.#subscriber.on('subscribersReady', () => (this.#movedAt = performance.now()));
    for (const client of [this.#publisher, this.#subscriber])
      client
        .on('error', untilClosed(onError))
        .on('close', untilClosed(onLost))
        .on('ready', untilClosed(onReady));
  }
}
