import { Redis } from '@hocuspocus/extension-redis';
import { messageOf } from '../errors.ts';
import type { Log } from '../log.ts';
import { connectPublisher, connectSubscriber, type RedisAddress, type RedisClient } from './redis-clients.ts';

/** Bytes that Redis may not have taken yet. */
const MAX_UNSENT_BYTES = 16 * 1024 * 1024;
/**
 * Redis cuts off who has more than 32 MB to read, or more than 8 MB for a minute (`client-output-buffer-limit pubsub`). What is
 * larger others read from Postgres.
 */
export const MAX_MESSAGE_BYTES = 8 * 1024 * 1024;

/** What {@link RedisChannels.publish} answers when it could not be sent. */
export const LOST = -1;
/** A subscription that failed, and a client that gave up, is tried again after this time. */
const AGAIN_MS = 500;
/**
 * Of the names of channels. Instances that speak otherwise hear nothing of each other, so an upgrade goes by way of Postgres: to be
 * raised with each change of messages.
 */
const VERSION = 2;

export interface RedisChannelsOptions {
  readonly address: RedisAddress;
  /** Of the names of channels: installations that share a Redis need different ones. */
  readonly prefix: string;
  readonly log: Log;
  readonly onMessage: (data: Uint8Array) => void;
  /** A connection is there; maybe again. */
  readonly onReady: () => void;
  /** A connection has ended: messages are lost in one direction. */
  readonly onLost: () => void;
}

/**
 * Channels of Redis, in the frame of the extension, which is a pair of connections. The rest of that is not used: it publishes a state vector for each
 * change, which everybody answers with a difference and all deletions, stores under a lock that may end too early, waits a second
 * before it lets go of a document, and opens none without Redis.
 */
export class RedisChannels extends Redis {
  readonly #isSharded: boolean;
  readonly #prefix: string;
  readonly #log: Log;
  readonly #pub: RedisClient;
  readonly #sub: RedisClient;
  /** Those that are to be heard, and who waits for that. */
  readonly #wanted = new Map<string, PromiseWithResolvers<void>>();
  #unsentBytes = 0;
  /** What was said since Redis was there. */
  readonly #told = new Set<string>();
  #isClosed = false;

  constructor({ address, prefix, log, onMessage, onReady, onLost }: RedisChannelsOptions) {
    const clients = [connectPublisher(address), connectSubscriber(address)] as const;
    const made = clients.values();
    // By its types of another version of ioredis.
    const createClient = () => made.next().value as unknown as InstanceType<typeof Redis>['pub'];
    super({ prefix, createClient });
    [this.#pub, this.#sub] = clients;
    this.#isSharded = address.isCluster;
    this.#prefix = `${prefix}/${VERSION}`;
    this.#log = log;
    this.sub.removeAllListeners('messageBuffer');
    const receive = (_channel: unknown, data: Uint8Array) => onMessage(data);
    this.#sub.on('messageBuffer', receive).on('smessageBuffer', receive);
    this.#sub.on('ready', () => void this.#hear([...this.#wanted.keys()]));
    for (const client of clients) {
      client
        .on('error', (error: unknown) => this.#tell(error))
        .on('close', onLost)
        .on('end', () => this.#revive(client))
        .on('ready', onReady);
    }
  }

  /** That of what all are told. */
  get all(): string {
    return `${this.#prefix}#all`;
  }

  ofDocument(document: string): string {
    return `${this.#prefix}:${document}`;
  }

  ofInstance(instance: string): string {
    return `${this.#prefix}#${instance}`;
  }

  /** Resolves when it is heard, which may be as late as Redis is there. Does not reject. */
  subscribe(channel: string): Promise<void> {
    const heard = Promise.withResolvers<void>();
    this.#wanted.set(channel, heard);
    // Else when it is ready; what waits for that in the library would be each document that was opened meanwhile.
    if (this.#sub.status === 'ready') void this.#hear([channel]);
    return heard.promise;
  }

  unsubscribe(channel: string): void {
    this.#wanted.delete(channel);
    if (this.#sub.status !== 'ready') return;
    const leaving = this.#isSharded ? this.#sub.sunsubscribe(channel) : this.#sub.unsubscribe(channel);
    // What still comes is of no document that is open.
    leaving.catch((error: unknown) => this.#tell(error));
  }

  /** Does not reject. */
  async #hear(channels: string[]): Promise<void> {
    const wanted = channels.filter((channel) => this.#wanted.has(channel));
    if (wanted.length === 0) return;
    try {
      // The channels of a cluster are on different nodes.
      if (this.#isSharded) await Promise.all(wanted.map((channel) => this.#sub.ssubscribe(channel)));
      else await this.#sub.subscribe(...wanted);
      for (const channel of wanted) this.#wanted.get(channel)?.resolve();
    } catch (error) {
      this.#tell(error);
      if (!this.#isClosed) setTimeout(() => void this.#hear(wanted), AGAIN_MS).unref();
    }
  }

  /** @returns how many have heard it, {@link LOST} when it could not be sent. Does not reject. */
  async publish(channel: string, bytes: Uint8Array): Promise<number> {
    const { byteLength } = bytes;
    const isTooMuch = byteLength > MAX_MESSAGE_BYTES || this.#unsentBytes + byteLength > MAX_UNSENT_BYTES;
    if (isTooMuch || this.#pub.status !== 'ready') return LOST;
    this.#unsentBytes += byteLength;
    try {
      const data = Buffer.from(bytes.buffer, bytes.byteOffset, byteLength);
      return Number(
        await (this.#isSharded ? this.#pub.spublish(channel, data) : this.#pub.publish(channel, data)),
      );
    } catch {
      // The connection says why.
      return LOST;
    } finally {
      this.#unsentBytes -= byteLength;
    }
  }

  /** Makes new connections in the place of those that seem to work, and are silent. */
  reconnect(): void {
    for (const client of [this.#pub, this.#sub])
      if (client.status === 'ready' || client.status === 'connect') client.disconnect(true);
  }

  /** Redis is there: the next error is told, whatever it is. */
  recovered(): void {
    this.#told.clear();
  }

  /**
   * A client that gives up stays so for ever: as it does when its connection is ended while it asks Sentinels where to go (seen with
   * ioredis 5.11 and its detector of failovers, which is not used: heartbeats notice as much).
   */
  #revive(client: RedisClient): void {
    const again = () => {
      if (!this.#isClosed && client.status === 'end')
        client.connect().catch((error: unknown) => this.#tell(error));
    };
    if (!this.#isClosed) setTimeout(again, AGAIN_MS).unref();
  }

  close(): void {
    this.#isClosed = true;
    this.#pub.disconnect();
    this.#sub.disconnect();
  }

  /** Says each once, until Redis is there again. */
  #tell(error: unknown): void {
    const text = messageOf(error);
    if (this.#isClosed || this.#told.has(text)) return;
    this.#told.add(text);
    this.#log.warn({ err: text }, 'Redis');
  }
}
