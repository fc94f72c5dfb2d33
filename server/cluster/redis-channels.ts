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
 * Channels of Redis. Of the extension it keeps the pair of connections: the rest publishes a state vector for each change, which
 * everybody answers with a difference and all deletions, stores under a lock that may end too early, waits a second before it lets
 * go of a document, and opens none without Redis.
 */
export class RedisChannels extends Redis {
  readonly #isSharded: boolean;
  readonly #prefix: string;
  readonly #log: Log;
  readonly #pub: RedisClient;
  readonly #sub: RedisClient;
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
    this.#prefix = prefix;
    this.#log = log;
    this.sub.removeAllListeners('messageBuffer');
    const receive = (_channel: unknown, data: Uint8Array) => onMessage(data);
    this.#sub.on('messageBuffer', receive).on('smessageBuffer', receive);
    for (const client of clients) {
      client
        .on('error', (error: unknown) => this.#tell(error))
        .on('close', onLost)
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

  /** Resolves when it is heard, which may be as late as Redis is there, or when this is closed. Does not reject. */
  async subscribe(channel: string): Promise<void> {
    try {
      await (this.#isSharded ? this.#sub.ssubscribe(channel) : this.#sub.subscribe(channel));
    } catch (error) {
      this.#tell(error);
    }
  }

  /** Does not reject. */
  async unsubscribe(channel: string): Promise<void> {
    try {
      await (this.#isSharded ? this.#sub.sunsubscribe(channel) : this.#sub.unsubscribe(channel));
    } catch (error) {
      this.#tell(error);
    }
  }

  /** @returns how many have heard it; 0 when it is lost, which comparing makes good. Does not reject. */
  async publish(channel: string, bytes: Uint8Array): Promise<number> {
    const { byteLength } = bytes;
    if (byteLength > MAX_MESSAGE_BYTES || this.#unsentBytes + byteLength > MAX_UNSENT_BYTES) return 0;
    this.#unsentBytes += byteLength;
    try {
      const data = Buffer.from(bytes.buffer, bytes.byteOffset, byteLength);
      return Number(
        await (this.#isSharded ? this.#pub.spublish(channel, data) : this.#pub.publish(channel, data)),
      );
    } catch {
      // The connection says why.
      return 0;
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
