/** Initial sequence numbers (RFC 6528) and where the clocks of timestamps start (RFC 7323 5.4): both depend on a secret and the four-tuple. */
import type { KeyedHash } from '../siphash.js'

/** Told apart in the hash; ports lie below. */
const ISN = 0
const STAMP = 1

const of = (hash: KeyedHash, use: number, local: number, localPort: number, remote: number, remotePort: number): number =>
  hash.of(local, remote, (localPort << 16) | remotePort, use)

/** The clock ticks every 4 microseconds. @param now milliseconds */
export const initialSequence = (hash: KeyedHash, now: number, local: number, localPort: number, remote: number, remotePort: number): number =>
  (of(hash, ISN, local, localPort, remote, remotePort) + Math.floor(now * 250)) | 0

/** What is added to the clock. */
export const timestampOffset = (hash: KeyedHash, local: number, localPort: number, remote: number, remotePort: number): number =>
  of(hash, STAMP, local, localPort, remote, remotePort)
