import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chown, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { within } from '../helpers/deadline.ts';
import { freePort } from '../helpers/ports.ts';
import { family, signal } from '../helpers/process-table.ts';
import type { PostgresInstallation } from './postgres-installation.ts';
import { enterProcess, strikeProcess, unmountBelow } from './run-directory.ts';

const run = promisify(execFile);

/** Generous, since recovery after a crash counts as starting. */
const START_MS = 60_000;
const STOP_MS = 30_000;
const POLL_MS = 10;
const PORT_ATTEMPTS = 3;

/** Postgres's own names for how to stop: `fast` writes a checkpoint; `immediate` is a crash, recovered at the next start. */
export type StopMode = 'fast' | 'immediate';

const STOP_SIGNALS = { fast: 'SIGINT', immediate: 'SIGQUIT' } as const;

const STARTED = new Set(['ready', 'standby']);

export interface ClusterOptions {
  installation: PostgresInstallation;
  runDirectory: string;
  /** Settings as in postgresql.conf, on top of Postgres's own defaults (fsync is on). */
  settings?: Record<string, string> | undefined;
  /** Its data is on a file system of its own, in memory, of so many bytes; only root can make one, on Linux. */
  diskBytes?: number | undefined;
}

/** A Postgres cluster of our own on loopback: `running`, `frozen` (all its processes stopped by SIGSTOP), or stopped. */
export class PostgresCluster {
  readonly dataDir: string;
  port = 0;
  private password = randomBytes(12).toString('hex');
  private readonly directory: string;
  private readonly options: ClusterOptions;
  private postmaster: ChildProcess | undefined;
  private frozen: number[] = [];

  constructor(options: ClusterOptions) {
    this.options = options;
    this.directory = join(options.runDirectory, `postgres-${randomBytes(4).toString('hex')}`);
    this.dataDir = join(this.directory, 'data');
  }

  /** The URL of its superuser, who may create databases. */
  get url(): string {
    return `postgresql://postgres:${this.password}@127.0.0.1:${this.port}/postgres`;
  }

  /** Creates the data directory. */
  async initialise(): Promise<void> {
    await this.makeDirectory();
    const passwordFile = join(this.directory, 'password');
    await writeFile(passwordFile, this.password);
    const access = ['--username=postgres', `--pwfile=${passwordFile}`, '--auth=scram-sha-256'];
    // The files of a new cluster need not survive a power cut; what tests commit in it is synced as usual.
    const speed = ['--no-sync', '--no-instructions'];
    const locale = ['--encoding=UTF8', '--locale=C'];
    const initdb = await this.spawn('initdb', [`--pgdata=${this.dataDir}`, ...access, ...speed, ...locale]);
    const [code] = await once(initdb, 'exit');
    if (code !== 0) throw new Error(`initdb failed (${code}):\n${await this.log()}`);
    await rm(passwordFile);
  }

  /**
   * Takes a copy of a cluster that is stopped, in place of what it has itself, and is its standby from the next start on.
   * @param port - where it reaches the other one, if not at its own port
   */
  async follow(primary: PostgresCluster, port = primary.port): Promise<void> {
    const { user } = this.options.installation;
    if (!existsSync(this.directory)) await this.makeDirectory();
    await rm(this.dataDir, { recursive: true, force: true });
    await run('cp', ['-a', primary.dataDir, this.dataDir]);
    this.password = primary.password;
    const source = `host=127.0.0.1 port=${port} user=postgres password=${this.password}`;
    const files = { 'standby.signal': '', 'postgresql.auto.conf': `primary_conninfo = '${source}'\n` };
    for (const [name, text] of Object.entries(files)) {
      const path = join(this.dataDir, name);
      await writeFile(path, text, { mode: 0o600 });
      if (user) await chown(path, user.uid, user.gid);
    }
  }

  private async makeDirectory(): Promise<void> {
    const { installation, diskBytes } = this.options;
    const { user } = installation;
    await mkdir(this.directory);
    if (user) await chown(this.directory, user.uid, user.gid);
    if (diskBytes === undefined) return;
    await mkdir(this.dataDir);
    const owner = user ? `,uid=${user.uid},gid=${user.gid}` : '';
    await run('mount', [
      '-t',
      'tmpfs',
      '-o',
      `size=${diskBytes},mode=0700${owner}`,
      'indelible-test',
      this.dataDir,
    ]);
  }

  /**
   * Starts it, on the port it had before if it had one.
   * @param settings - for this time, on top of its own
   */
  async start(settings: Record<string, string> = {}): Promise<void> {
    if (this.port !== 0) return this.startPostmaster(settings);
    for (let attempt = 1; ; attempt += 1) {
      this.port = await freePort();
      try {
        return await this.startPostmaster(settings);
      } catch (error) {
        const taken = (await this.log()).includes('could not bind');
        if (!taken || attempt === PORT_ATTEMPTS) throw error;
      }
    }
  }

  /** Whether it was started and has neither been stopped nor ended by itself. */
  get isRunning(): boolean {
    return this.postmaster !== undefined && !hasExited(this.postmaster);
  }

  async stop(mode: StopMode): Promise<void> {
    const { postmaster } = this;
    if (postmaster?.pid === undefined) return;
    this.thaw();
    if (this.isRunning) {
      const exited = once(postmaster, 'exit');
      postmaster.ref();
      signal(postmaster.pid, STOP_SIGNALS[mode]);
      await within(() => `Postgres did not stop:\n${this.dataDir}`, exited, STOP_MS);
    }
    this.postmaster = undefined;
    await strikeProcess(this.options.runDirectory, postmaster.pid);
  }

  /** Stops every process of the cluster where it stands: connections stay open and nothing answers. */
  freeze(): void {
    const pid = this.postmaster?.pid;
    if (pid === undefined) throw new Error('only a running cluster can be frozen');
    // The postmaster first, so that it has no more children by the time we list them.
    signal(pid, 'SIGSTOP');
    this.frozen = family(pid);
    for (const member of this.frozen) signal(member, 'SIGSTOP');
  }

  thaw(): void {
    for (const member of this.frozen) signal(member, 'SIGCONT');
    this.frozen = [];
  }

  /** Stops it and removes its files. */
  async dispose(): Promise<void> {
    await this.stop('immediate');
    await unmountBelow(this.directory);
    await rm(this.directory, { recursive: true, force: true });
  }

  private async startPostmaster(its: Record<string, string>): Promise<void> {
    const settings = {
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      // The suite's files, servers and pools together; the default of 100 is soon reached.
      max_connections: '300',
      ...this.options.settings,
      ...its,
    };
    const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const postmaster = await this.spawn('postgres', ['-D', this.dataDir, '-p', `${this.port}`, ...flags]);
    if (postmaster.pid === undefined) throw new Error('Postgres could not be spawned');
    await enterProcess(this.options.runDirectory, postmaster.pid, STOP_SIGNALS.immediate);
    await this.ready(postmaster);
    // Only the keeper and `stop` end it: the runner may exit while it runs.
    postmaster.unref();
    this.postmaster = postmaster;
  }

  /** Waits for the line that pg_ctl waits for too: the eighth of postmaster.pid says `ready`, or `standby`. */
  private async ready(postmaster: ChildProcess): Promise<void> {
    const deadline = Date.now() + START_MS;
    while (!hasExited(postmaster) && Date.now() < deadline) {
      const lines = (await readFile(join(this.dataDir, 'postmaster.pid'), 'utf8').catch(() => '')).split(
        '\n',
      );
      if (lines[0] === `${postmaster.pid}` && STARTED.has(lines[7]?.trim() ?? '')) return;
      await sleep(POLL_MS);
    }
    throw new Error(`Postgres did not start:\n${await this.log()}`);
  }

  /** The log is a file and not a pipe: nobody has to read it, and Postgres can outlive whoever started it. */
  private async spawn(program: string, args: string[]): Promise<ChildProcess> {
    const { directory, user } = this.options.installation;
    const log = await open(this.logPath, 'a');
    try {
      const child = spawn(join(directory, program), args, {
        cwd: this.directory,
        env: { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' },
        // Away from the terminal: Ctrl-C is for the runner, and the keeper does the rest.
        detached: true,
        stdio: ['ignore', log.fd, log.fd],
        ...user,
      });
      await once(child, 'spawn');
      return child;
    } finally {
      await log.close();
    }
  }

  private get logPath(): string {
    return join(this.directory, 'log');
  }

  private log(): Promise<string> {
    return readFile(this.logPath, 'utf8').catch(() => '');
  }
}

function hasExited({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}
