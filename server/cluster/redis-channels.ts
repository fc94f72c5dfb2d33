import { messageOf } from '../errors.ts';
import type { Log } from '../log.ts';
import type { RedisAddress } from './redis-clients.ts';
import { RedisConnections } from './redis-connections.ts';

/** Bytes that Redis may not have taken yet. */
const MAX_UNSENT_BYTES = 16 * 1024 * 1024;
/**
 * Redis cuts off who has more than 32 MB to read, or more than 8 MB for a minute (`client-output-buffer-limit pubsub`). What is
 * larger others read from Postgres.
 */
export const MAX_MESSAGE_BYTES = 8 * 1024 * 1024;

/** What {@link RedisChannels.publish} answers when it could not be sent. */
export const LOST = -1;
/** A subscription that failed is tried again after this time. */
const AGAIN_MS = 500;
/**
 * Of the names of channels. Instances that speak otherwise hear nothing of each other, so an upgrade goes by way of Postgres: to be
 * raised with each change of messages.
 */
const VERSION = 3;

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

/** Channels of Redis: those that are to be heard are heard whenever it is there. */
export class RedisChannels {
  readonly #options: RedisChannelsOptions;
  readonly #prefix: string;
  /** Those that are to be heard, and who waits for that. */
  readonly #wanted = new Map<string, PromiseWithResolvers<void>>();
  /** What was said since Redis was there. */
  readonly #told = new Set<string>();
  #connections: RedisConnections;
  #unsentBytes = 0;

  constructor(options: RedisChannelsOptions) {
    this.#options = options;
    this.#prefix = `${options.prefix}/${VERSION}`;
    this.#connections = this.#connect();
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
    if (this.#connections.canSubscribe) void this.#hearTogether([channel]);
    return heard.promise;
  }

  unsubscribe(channel: string): void {
    this.#wanted.delete(channel);
    const connections = this.#connections;
    if (!connections.canSubscribe) return;
    // What still comes is of no document that is open.
    connections.unsubscribe(channel).catch((error: unknown) => this.#tell(error, connections));
  }

  #hearAll(): void {
    const channels = [...this.#wanted.keys()];
    // One node of a cluster may be away, with some of them.
    const groups = this.#options.address.isCluster ? channels.map((channel) => [channel]) : [channels];
    for (const group of groups) void this.#hearTogether(group);
  }

  /** Does not reject. */
  async #hearTogether(channels: string[]): Promise<void> {
    const wanted = channels.filter((channel) => this.#wanted.has(channel));
    if (wanted.length === 0) return;
    const connections = this.#connections;
    try {
      await connections.subscribe(wanted);
      for (const channel of wanted) this.#wanted.get(channel)?.resolve();
    } catch (error) {
      this.#tell(error, connections);
      // New connections hear all of them.
      setTimeout(() => {
        if (!connections.isClosed) void this.#hearTogether(wanted);
      }, AGAIN_MS).unref();
    }
  }

  /** @returns how many have heard it, {@link LOST} when it could not be sent. Does not reject. */
  async publish(channel: string, bytes: Uint8Array): Promise<number> {
    const { byteLength } = bytes;
    const isTooMuch = byteLength > MAX_MESSAGE_BYTES || this.#unsentBytes + byteLength > MAX_UNSENT_BYTES;
    if (isTooMuch || !this.#connections.canPublish) return LOST;
    this.#unsentBytes += byteLength;
    try {
      return await this.#connections.publish(
        channel,
        Buffer.from(bytes.buffer, bytes.byteOffset, byteLength),
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
    this.#connections.close();
    this.#connections = this.#connect();
  }

  /** Redis is there: the next error is told, whatever it is. */
  recovered(): void {
    this.#told.clear();
  }

  close(): void {
    this.#connections.close();
  }

  #connect(): RedisConnections {
    const { address, onMessage, onReady, onLost } = this.#options;
    const connections: RedisConnections = new RedisConnections(address, {
      onMessage,
      onSubscriberReady: () => this.#hearAll(),
      onReady,
      onLost,
      onError: (error) => this.#tell(error, connections),
    });
    return connections;
  }

  /** Says each once, until Redis is there again; but not what the end of connections brings. */
  #tell(error: unknown, connections: RedisConnections): void {
    const text = messageOf(error);
    if (connections.isClosed || this.#told.has(text)) return;
    this.#told.add(text);
    this.#options.log.warn({ err: text }, 'Redis');
  }
}
