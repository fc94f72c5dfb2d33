import { getRequestListener } from '@hono/node-server';
import type { DestinationStream } from 'pino';
import { createApp } from './api/app.ts';
import { Callers } from './api/caller.ts';
import type { DevTokenKey } from './api/dev-tokens.ts';
import { Idempotency } from './api/idempotency.ts';
import { Access } from './auth/access.ts';
import { allowEverybody, authorizeByProgram, type Authorize } from './auth/grant.ts';
import { authorizeByToken } from './auth/tokens.ts';
import { isLoopback, originsAllowed } from './auth/origins.ts';
import { Revocations, type RevocationRequest } from './auth/revocations.ts';
import { ALONE, type Cluster, type ConnectionsOf } from './cluster/cluster.ts';
import { RedisCluster } from './cluster/redis-cluster.ts';
import {
  hasKey,
  possibleConnections,
  resolveSettings,
  type SettingOptions,
  type Settings,
} from './config.ts';
import { IndelibleError } from './errors.ts';
import type { Documents } from './documents/documents.ts';
import { Hub, type HubLimits } from './documents/hub.ts';
import { LogFollower } from './documents/log-follower.ts';
import type { OnLoad } from './documents/on-load.ts';
import { ProgramDocuments } from './documents/program-documents.ts';
import { Remover } from './documents/remover.ts';
import { Revoker } from './documents/revoker.ts';
import { Http } from './gateway/http.ts';
import { Sockets } from './gateway/sockets.ts';
import { Upgrade } from './gateway/upgrade.ts';
import { withDeadline } from './lifecycle.ts';
import { Limits, type LimitOptions } from './limits.ts';
import { createLog, type Log } from './log.ts';
import { Metrics } from './metrics.ts';
import { DatabaseProbe } from './storage/database-probe.ts';
import { openDatabase, type Database } from './storage/database.ts';
import { DocumentIndex } from './storage/document-index.ts';
import { DocumentStore } from './storage/document-store.ts';
import { InstanceRegistry } from './storage/instance-registry.ts';
import { LogReader } from './storage/log-reader.ts';
import { migrate } from './storage/migrate.ts';
import { Requests } from './storage/requests.ts';
import { RevocationStore } from './storage/revocation-store.ts';
import { Tombstones } from './storage/tombstones.ts';
import { UpdateLog } from './storage/update-log.ts';

/** How long closing waits for connections that hang, once everything is committed. */
const FORCED_CLOSE_MS = 1_000;

/** Options of {@link createServer}: any setting, and what only a program can give. */
export interface ServerOptions extends SettingOptions {
  /** Decides about access instead of tokens signed with `jwtSecret`. */
  readonly auth?: Authorize | undefined;
  /**
   * First content of a document that is not stored yet; asked at every opening until it gives some, which is stored once,
   * however many instances ask.
   */
  readonly onLoad?: OnLoad | undefined;
  /** Where log lines go; standard output when left out. */
  readonly logTo?: DestinationStream | undefined;
}

/** How a server ended. */
export interface CloseResult {
  /** Names of the documents that have edits which could not be committed. They were never acknowledged. */
  readonly unwritten: readonly string[];
}

/** A collaborative editing server. */
export interface Server {
  /** Documents, for this program; to be used once it listens. */
  readonly documents: Documents;
  /**
   * Starts listening.
   * @returns the port, and the address to open in a browser
   * @throws the error of the operating system when the port is taken; what `pg` throws when the database does not answer
   */
  listen(): Promise<{ port: number; url: string }>;
  /**
   * Takes access back: everything of a user, everybody's access to a document, or that of one user to one document. Sockets
   * close with 4403, and tokens issued before are refused; other instances on the same database follow at once, and within 5 s
   * without Redis. Tokens say when they were issued in whole seconds: one issued in the second of this call counts as issued before it.
   * @throws {@link IndelibleError} `bad_revocation`, `bad_name`; what `pg` throws when the database does not answer, and
   * then nothing is revoked; an error that says that it is not known whether it is, and then to be called again
   */
  revoke(request: RevocationRequest): Promise<void>;
  /**
   * Closes connections, at other instances too if Redis is there: everybody's to a document, all of a user, or those of one user to
   * one document. Nothing is taken back: their clients may come back at once, with what they have not told yet.
   * @throws {@link IndelibleError} `bad_revocation` when it names neither
   */
  disconnect(whose: ConnectionsOf): void;
  /**
   * Refuses new sockets, closes the open ones over `drainMs`, commits what is queued, and stops. After `shutdownMs`, or
   * once `signal` is aborted, it stops at once. Calling it again returns the same promise.
   */
  close(signal?: AbortSignal): Promise<CloseResult>;
}

/**
 * Opens the database, brings its schema up to date, and puts a server together; `listen` starts it.
 * @throws {@link IndelibleError} `bad_settings`, `database_unavailable`, `schema_too_new`, `data_dir_locked`
 */
export async function createServer(options: ServerOptions = {}): Promise<Server> {
  const { auth: _auth, onLoad: _onLoad, logTo, ...given } = options;
  const settings = resolveSettings(given);
  refuseOpenToTheWorld(settings, options);
  const log = createLog(settings.logLevel, logTo);
  const database = await openDatabase({
    url: settings.databaseUrl,
    dataDir: settings.dataDir,
    connections: settings.limitDatabaseConnections,
    log,
  });
  try {
    const applied = await migrate(database, log);
    if (applied.length > 0) log.info({ applied }, 'the schema is brought up to date');
  } catch (error) {
    await database.close();
    throw error;
  }
  return assemble(settings, options, database, log);
}

function assemble(settings: Settings, options: ServerOptions, database: Database, log: Log): Server {
  const metrics = new Metrics();
  const sockets = new Sockets(settings.heartbeatMs);
  const updateLog = new UpdateLog(database.committer, {
    limitBytes: settings.limitQueueBytes,
    events: {
      committed: (sequence, documents) => hub.committed(sequence, documents),
      full: (isFull) => sockets.pause(isFull),
      refused: (document, error) => {
        cluster.refused();
        hub.refused(document, error);
      },
      repeated: () => cluster.refused(),
    },
    log,
    metrics,
  });
  const cluster = clusterOf(settings, database, log, metrics);
  const store = new DocumentStore(database.queries, log, metrics);
  const revocations = new Revocations();
  const access = new Access(authorizer(settings, options.auth, log), revocations);
  const countLimits = countsOf(settings);
  const counts = new Limits(countLimits);
  const hub = new Hub({
    store,
    updateLog,
    cluster,
    access,
    onLoad: options.onLoad,
    // Does not reject.
    onRevoked: () => void revoker.catchUp(),
    // Neither does this.
    onDeleted: () => void remover.catchUp(),
    limits: hubLimitsOf(settings),
    counts,
    log,
    metrics,
  });
  database.history.onReplaced(() => {
    hub.databaseReplaced();
    follower?.databaseReplaced();
  });
  const follower =
    cluster === ALONE
      ? undefined
      : new LogFollower({
          cluster,
          registry: new InstanceRegistry(database.queries, cluster.instance),
          reader: new LogReader(database.queries),
          documents: () => [...hub.documents()].map(({ name }) => name),
          loadingSince: () => hub.loadingSince,
          behind: () => hub.relay.behind(),
          caughtUp: (documents) => hub.relay.caughtUp(documents),
          onCommitted: (updates) => hub.relay.takeCommitted(updates),
          log,
        });
  const revoker = new Revoker({
    store: new RevocationStore(database.queries),
    revocations,
    hub,
    cluster,
    log,
  });
  const remover = new Remover({
    tombstones: new Tombstones(database.queries),
    hub,
    cluster,
    keepMs: settings.keepDeletedHours * MS_PER_HOUR,
    log,
  });
  const allowsOrigin = originsAllowed(settings.allowedOrigins, isOpen(settings, options));
  let isDraining = false;
  const upgrade = new Upgrade({
    hub,
    sockets,
    access,
    counts,
    trustProxy: settings.trustProxy ?? [],
    limitFrameBytes: settings.limitFrameBytes,
    limitSendBytes: settings.limitSendBytes,
    log,
    metrics,
    allowsOrigin,
    isDraining: () => isDraining,
  });
  const probe = new DatabaseProbe(database);
  const isDatabaseThere = async () => !updateLog.isFailing && (await probe.answers());
  const documents = new ProgramDocuments({
    hub,
    store,
    index: new DocumentIndex(database.queries),
    remover,
    cluster,
    isDatabaseThere,
  });
  const health = {
    isDraining: () => isDraining,
    isDatabaseThere,
    redis: () => {
      if (settings.redisUrl === undefined) return 'not configured';
      return cluster.isThere ? 'there' : 'away';
    },
  };
  const idempotency = new Idempotency(new Requests(database.queries), isDatabaseThere, log);
  const devTokens = devTokenKeyOf(settings);
  if (devTokens !== null) log.warn('DEV_TOKENS is on: everybody is given a token for any document');
  const app = createApp({
    devTokens,
    documents,
    callers: new Callers(access, counts, settings.limitFrameBytes),
    idempotency,
    revoke: (request) => revoker.revoke(request),
    health,
    metrics,
    allowsOrigin,
    log,
  });
  const listener = getRequestListener(app.fetch);
  // Cannot reject: it answers errors itself.
  const http = new Http(
    (request, response) => void listener(request, response),
    upgrade,
    countLimits.connections + HTTP_CONNECTIONS,
  );

  const drain = async () => {
    isDraining = true;
    await Promise.all([sockets.drain(settings.drainMs), updateLog.flush()]);
    // What came in while the sockets were closing.
    await updateLog.flush();
    await hub.close();
  };
  const close = async (signal?: AbortSignal): Promise<CloseResult> => {
    revoker.close();
    remover.close();
    idempotency.close();
    const outcome = await withDeadline(drain(), settings.shutdownMs, signal);
    const unwritten = updateLog.waitingDocuments();
    if (outcome === 'late') log.error({ unwritten }, 'stopped before everything was done');
    updateLog.close();
    sockets.close();
    const patience = outcome === 'late' ? 0 : FORCED_CLOSE_MS;
    // It has something to say to the database, which matters little.
    if (follower !== undefined) await withDeadline(follower.close(), patience / 2, signal);
    const parts = [http.close(), cluster.close(), store.close(), database.close()];
    await withDeadline(Promise.all(parts), patience, signal);
    return { unwritten };
  };
  let closing: Promise<CloseResult> | undefined;
  return {
    documents,
    listen: async () => {
      await revoker.start();
      await remover.start();
      await follower?.start();
      const port = await http.listen(settings.port, settings.host);
      const url = `http://${settings.host.includes(':') ? `[${settings.host}]` : settings.host}:${port}`;
      log.info({ url, database: database.kind }, 'listening');
      return { port, url };
    },
    revoke: (request) => revoker.revoke(request),
    disconnect: (whose) => {
      if (whose.document === undefined && whose.user === undefined)
        throw new IndelibleError('bad_revocation', 'it names neither');
      hub.disconnect(whose);
      cluster.disconnect(whose);
    },
    close: (signal) => (closing ??= close(signal)),
  };
}

function clusterOf(settings: Settings, database: Database, log: Log, metrics: Metrics): Cluster {
  const { redisUrl: urls, redisCluster: isCluster, redisSentinel: sentinel, redisPrefix: prefix } = settings;
  if (urls === undefined) return ALONE;
  return new RedisCluster({
    address: { urls, isCluster, sentinel },
    prefix,
    timeline: () => database.history.timeline,
    log,
    metrics,
  });
}

const MS_PER_HOUR = 3_600_000;

/** TCP connections of HTTP beside the sockets. */
const HTTP_CONNECTIONS = 100;

function countsOf(settings: Settings): LimitOptions {
  return {
    connections: settings.limitConnections ?? possibleConnections(),
    connectionsPerAddress: settings.limitConnectionsPerAddress,
    connectionsPerDocument: settings.limitConnectionsPerDocument,
    socket: { frames: settings.limitFrames, bytes: settings.limitBytes },
    user: { frames: settings.limitUserFrames, bytes: settings.limitUserBytes },
  };
}

function hubLimitsOf(settings: Settings): HubLimits {
  return {
    authMs: settings.limitAuthMs,
    documents: settings.limitDocuments,
    waitingBytes: settings.limitWaitingBytes,
    allWaitingBytes: settings.limitQueueBytes,
    update: { structs: settings.limitUpdateStructs, clients: settings.limitUpdateClients },
    document: {
      documentBytes: settings.limitDocumentBytes,
      pendingBytes: settings.limitPendingBytes,
      presence: { ids: settings.limitPresenceIds, bytes: settings.limitPresenceBytes },
    },
  };
}

/** Whether nobody needs a token, and nobody has said that this is meant. */
function isOpen(settings: Settings, { auth }: ServerOptions): boolean {
  return !hasKey(settings) && auth === undefined && settings.authMode === undefined;
}

function refuseOpenToTheWorld(settings: Settings, options: ServerOptions): void {
  if (!isOpen(settings, options) || isLoopback(settings.host)) return;
  throw new IndelibleError(
    'bad_settings',
    `HOST (host) ${settings.host} without a key lets everybody do everything: set JWT_SECRET or JWKS_URL, or AUTH=none ` +
      `(authMode: 'none') if that is meant`,
  );
}

function devTokenKeyOf({ devTokens, jwtSecret, jwtIssuer, jwtAudience }: Settings): DevTokenKey | null {
  if (!devTokens || jwtSecret === undefined) return null;
  return { secret: jwtSecret, issuer: jwtIssuer, audience: jwtAudience };
}

function authorizer(settings: Settings, auth: Authorize | undefined, log: Log): Authorize {
  if (auth !== undefined) {
    return authorizeByProgram(auth, (error) =>
      log.error({ err: error }, 'auth failed: access cannot be checked'),
    );
  }
  const { jwtSecret: secret, jwksUrl, jwtIssuer: issuer, jwtAudience: audience } = settings;
  return hasKey(settings) ? authorizeByToken({ secret, jwksUrl, issuer, audience }, log) : allowEverybody;
}
