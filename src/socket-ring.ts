/**
 * The way between the data plane and the thread that owns the sockets: two rings of records (stack/record-ring.ts), one each way.
 *
 * A record is a head of eight words, followed for PACKET by the packet itself as devices have it: HEADROOM bytes, of which the last ten
 * are its virtio header, then the IPv4 header. Both ends build and read packets in place.
 *
 * Whoever reads a ring says in its control block when it goes to sleep; whoever writes looks there after each record and wakes it. The
 * reader looks at the ring once more after it has said so, so that no record is left lying.
 */
import { HEADROOM } from './stack/batch.js'
import { createRecordRing, FREE_WORD } from './stack/record-ring.js'

/** Bytes of a ring: some hundred superpackets. */
const RING_BYTES = 8 << 20

/** Bytes before the packet of a record: its head, and the packet's headroom. */
export const PACKET_OFFSET = 32 + HEADROOM

/** Offsets in the head, int32, little-endian: bytes of the record, its kind, the socket's row, then what the kind says. */
export const LENGTH = 0
export const KIND = 4
export const SOCKET = 8
export const FIRST = 12
export const SECOND = 16
export const THIRD = 20
export const FOURTH = 24
export const FIFTH = 28

/** Down and up: packet length, original address, original port (-1: none), interface, mark. */
export const KIND_PACKET = 1
/** Up: source, MTU. */
export const KIND_PATH = 2
/** Up: source. */
export const KIND_TAKEN = 3
/** Up: errno. */
export const KIND_REFUSED = 4

export const HEAD_BYTES = 32

/** Control words: the reader sleeps (1), and is to be woken when this changes. */
export const ASLEEP = FREE_WORD
/** The writer had no room for a record, and waits for some (1); there is some (2). */
export const STARVED = FREE_WORD + 1

/** The memory of both ways. */
export interface SocketRings {
  /** From the sockets to the network. */
  readonly down: SharedArrayBuffer
  /** From the network to the sockets. */
  readonly up: SharedArrayBuffer
}

export const createSocketRings = (): SocketRings => ({ down: createRecordRing(RING_BYTES), up: createRecordRing(RING_BYTES) })
