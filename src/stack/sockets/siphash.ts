/**
 * SipHash-2-4 (Aumasson and Bernstein, 2012) of four 32-bit words: a keyed hash that whoever sees many of its values cannot foretell.
 * Initial sequence numbers, SYN cookies and timestamps are made of it. 64-bit words are pairs of int32, so that nothing is allocated.
 */
export class KeyedHash {
  readonly #k0h: number
  readonly #k0l: number
  readonly #k1h: number
  readonly #k1l: number

  /** @param secret 16 bytes */
  constructor(secret: Uint8Array) {
    const view = new DataView(secret.buffer, secret.byteOffset, secret.byteLength)
    this.#k0l = view.getInt32(0, true)
    this.#k0h = view.getInt32(4, true)
    this.#k1l = view.getInt32(8, true)
    this.#k1h = view.getInt32(12, true)
  }

  /** The lower 32 bits of the hash of the words in this order, int32. */
  of(a: number, b: number, c: number, d: number): number {
    v0h = this.#k0h ^ 0x736f6d65
    v0l = this.#k0l ^ 0x70736575
    v1h = this.#k1h ^ 0x646f7261
    v1l = this.#k1l ^ 0x6e646f6d
    v2h = this.#k0h ^ 0x6c796765
    v2l = this.#k0l ^ 0x6e657261
    v3h = this.#k1h ^ 0x74656462
    v3l = this.#k1l ^ 0x79746573
    absorb(b, a)
    absorb(d, c)
    // The last block: no bytes are left over, the length (16) stands in the top byte.
    absorb(16 << 24, 0)
    v2l ^= 0xff
    round()
    round()
    round()
    round()
    return v0l ^ v1l ^ v2l ^ v3l
  }
}

let v0h = 0
let v0l = 0
let v1h = 0
let v1l = 0
let v2h = 0
let v2l = 0
let v3h = 0
let v3l = 0

const absorb = (high: number, low: number): void => {
  v3h ^= high
  v3l ^= low
  round()
  round()
  v0h ^= high
  v0l ^= low
}

/** The carry of `sum`, which is `a` plus something, both taken as uint32. */
const carry = (sum: number, a: number): number => (sum >>> 0 < a >>> 0 ? 1 : 0)

const round = (): void => {
  let low = (v0l + v1l) | 0
  v0h = (v0h + v1h + carry(low, v0l)) | 0
  v0l = low
  let high = (v1h << 13) | (v1l >>> 19)
  v1l = ((v1l << 13) | (v1h >>> 19)) ^ v0l
  v1h = high ^ v0h
  high = v0h
  v0h = v0l
  v0l = high

  low = (v2l + v3l) | 0
  v2h = (v2h + v3h + carry(low, v2l)) | 0
  v2l = low
  high = (v3h << 16) | (v3l >>> 16)
  v3l = ((v3l << 16) | (v3h >>> 16)) ^ v2l
  v3h = high ^ v2h

  low = (v0l + v3l) | 0
  v0h = (v0h + v3h + carry(low, v0l)) | 0
  v0l = low
  high = (v3h << 21) | (v3l >>> 11)
  v3l = ((v3l << 21) | (v3h >>> 11)) ^ v0l
  v3h = high ^ v0h

  low = (v2l + v1l) | 0
  v2h = (v2h + v1h + carry(low, v2l)) | 0
  v2l = low
  high = (v1h << 17) | (v1l >>> 15)
  v1l = ((v1l << 17) | (v1h >>> 15)) ^ v2l
  v1h = high ^ v2h
  high = v2h
  v2h = v2l
  v2l = high
}
