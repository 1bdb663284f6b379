/**
 * CRC32c, the checksum of SCTP (RFC 9260 6.8 and appendix A): polynomial 0x1edc6f41, least significant bits first.
 *
 * A CRC is linear: the CRCs of two messages of the same length differ by what their difference alone makes of a register that
 * begins with 0. So a change of four bytes in front is carried over the rest of the message without reading it: n zero bytes
 * multiply the register by x^8n modulo the polynomial. Numbers stand for polynomials here, with x^0 in the highest bit.
 */

/** The polynomial without its x^32, in this order of bits. */
const POLYNOMIAL = 0x82f63b78
const ONE = 0x80000000

/** A register after eight zero bits, by its low byte. */
const TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let register = byte
  for (let bit = 0; bit < 8; bit++) register = (register & 1) === 0 ? register >>> 1 : (register >>> 1) ^ POLYNOMIAL
  return register
})

/** The product of two polynomials modulo the polynomial. */
const multiply = (a: number, b: number): number => {
  let product = 0
  let term = b
  for (let rest = a | 0; rest !== 0; rest <<= 1) {
    if (rest < 0) product ^= term
    term = (term & 1) === 0 ? term >>> 1 : (term >>> 1) ^ POLYNOMIAL
  }
  return product
}

/** x to the power of 8 · 2^index. Sixteen of them reach as far as a datagram. */
const POWERS = new Int32Array(16)
POWERS[0] = ONE >>> 8
for (let index = 1; index < POWERS.length; index++) POWERS[index] = multiply(POWERS[index - 1]!, POWERS[index - 1]!)

/** A register after `count` zero bytes, 0-65535. Takes some microseconds, whatever the count. */
export const afterZeros = (register: number, count: number): number => {
  let after = register
  for (let index = 0, rest = count; rest !== 0; index++, rest >>>= 1) if ((rest & 1) !== 0) after = multiply(POWERS[index]!, after)
  return after
}

const next = (register: number, byte: number): number => (register >>> 8) ^ TABLE[(register ^ byte) & 0xff]!

/** A register after the four bytes of a word, int32 or uint32, the highest first. */
export const afterWord = (register: number, word: number): number => {
  let after = next(register, word >>> 24)
  after = next(after, word >>> 16)
  after = next(after, word >>> 8)
  return next(after, word)
}

/** A register after bytes of memory. */
export const afterBytes = (register: number, view: DataView, at: number, length: number): number => {
  let after = register
  for (let index = at; index < at + length; index++) after = next(after, view.getUint8(index))
  return after
}

/** What a register begins with, and what its end is combined with. */
export const START = -1
