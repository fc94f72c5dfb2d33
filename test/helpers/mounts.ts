import { execFile } from 'node:child_process';
import { mkdtemp, rm, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { inject } from 'vitest';

const run = promisify(execFile);

/** Whether tests may mount file systems of their own: as root, on Linux, if the container allows it. */
export async function canMount(): Promise<boolean> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  const point = await mkdtemp(join(inject('runDirectory'), 'mount-'));
  try {
    await run('mount', ['-t', 'tmpfs', 'indelible-test', point]);
    await run('umount', [point]);
    return true;
  } catch {
    return false;
  } finally {
    await rmdir(point);
  }
}

const CHUNK_BYTES = [1024 * 1024, 4096];

/** Fills the file system of a directory to its last page with a file. */
export async function fillDisk(directory: string): Promise<{ free(): Promise<void> }> {
  const path = join(directory, 'filler');
  for (const bytes of CHUNK_BYTES) {
    for (let isFull = false; !isFull;) {
      isFull = await writeFile(path, Buffer.alloc(bytes), { flag: 'a' }).then(
        () => false,
        (error: NodeJS.ErrnoException) => {
          if (error.code !== 'ENOSPC') throw error;
          return true;
        },
      );
    }
  }
  return { free: () => rm(path) };
}
