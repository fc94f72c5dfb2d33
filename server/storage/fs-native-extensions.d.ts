/** The package ships no types; this is the part of it that is used. */
declare module 'fs-native-extensions' {
  /** Takes the lock of an open file; `false` when another open file of this or another process has it. */
  export function tryLock(fd: number): boolean;
}
