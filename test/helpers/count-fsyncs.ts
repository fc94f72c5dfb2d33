/**
 * Loaded before a server (`--import`), in all its threads: prints `fsync` on standard error each time that JavaScript
 * has synced a file to disk.
 */
import fs from 'node:fs';

const STDERR = 2;
const { fsyncSync } = fs;

fs.fsyncSync = (file) => {
  fsyncSync(file);
  fs.writeSync(STDERR, 'fsync\n');
};
