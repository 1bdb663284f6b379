/** Copies bytes of packets. Memory that threads share is copied by V8 word by word, or byte by byte; long pieces go to memmove(3). */
import { native } from '../native.js'

/** Below this, in bytes, the call costs more than it saves. */
const LONG = 512

/** Copies source[from, from+length) to target[at, at+length). @throws RangeError for a range that does not lie inside */
export const copyBytes = (source: Uint8Array, from: number, length: number, target: Uint8Array, at: number): void => {
  if (length >= LONG) native().copy(source, from, length, target, at)
  else target.set(source.subarray(from, from + length), at)
}
