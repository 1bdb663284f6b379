/**
 * SCTP common header and the first chunk's (RFC 9260 3). `at` is the address of the common header; the caller has checked that
 * HEADER bytes are there, and HEADER + CHUNK_HEADER for the chunk.
 *
 * The checksum is a CRC32c over the whole packet with its own field as zeros. Addresses are not in it.
 */
import * as crc32c from './crc32c.js'

export const HEADER = 12
/** Type, flags and length of a chunk. */
export const CHUNK_HEADER = 4
/** Address of the checksum field, counted from the header. */
export const CHECKSUM_OFFSET = 8
/** Bytes of an INIT or INIT ACK chunk at least. */
export const INIT_MIN = 20

/** Chunk types (RFC 9260 3.2). */
export const DATA = 0
export const INIT = 1
export const INIT_ACK = 2
export const HEARTBEAT = 4
export const HEARTBEAT_ACK = 5
export const ABORT = 6
export const SHUTDOWN = 7
export const SHUTDOWN_ACK = 8
export const ERROR = 9
export const COOKIE_ECHO = 10
export const COOKIE_ACK = 11
export const SHUTDOWN_COMPLETE = 14

/** Flag T of ABORT and SHUTDOWN COMPLETE: the verification tag is the sender's own, sent back (RFC 9260 8.5.1). */
export const FLAG_REFLECTED = 1

export const sourcePort = (view: DataView, at: number): number => view.getUint16(at)
export const destinationPort = (view: DataView, at: number): number => view.getUint16(at + 2)
/** 0 in a packet with INIT, and nowhere else. */
export const verificationTag = (view: DataView, at: number): number => view.getInt32(at + 4)
/** Stored with its lowest byte first, unlike all else. */
export const checksum = (view: DataView, at: number): number => view.getInt32(at + 8, true)
/** Type of the first chunk. */
export const chunkType = (view: DataView, at: number): number => view.getUint8(at + 12)
export const chunkFlags = (view: DataView, at: number): number => view.getUint8(at + 13)
/** Bytes of the first chunk, its header included and its padding not. */
export const chunkLength = (view: DataView, at: number): number => view.getUint16(at + 14)
/** Of an INIT or INIT ACK chunk, INIT_MIN bytes long: the tag that packets to its sender are to carry. */
export const initiateTag = (view: DataView, at: number): number => view.getInt32(at + 16)

export const setSourcePort = (view: DataView, at: number, value: number): void => view.setUint16(at, value)
export const setDestinationPort = (view: DataView, at: number, value: number): void => view.setUint16(at + 2, value)
export const setVerificationTag = (view: DataView, at: number, value: number): void => view.setInt32(at + 4, value)
export const setChecksum = (view: DataView, at: number, value: number): void => view.setInt32(at + 8, value, true)

/** The checksum that a packet of `length` bytes should have, whatever its field holds. */
export const computeChecksum = (view: DataView, at: number, length: number): number => {
  const ahead = crc32c.afterBytes(crc32c.START, view, at, CHECKSUM_OFFSET)
  return ~crc32c.afterBytes(crc32c.afterWord(ahead, 0), view, at + HEADER, length - HEADER)
}

/**
 * A checksum after a change of the ports, of a packet of `length` bytes. A wrong one stays wrong, by as much.
 * @param changed the first word before and after, one xor the other
 */
export const updateChecksum = (stored: number, changed: number, length: number): number =>
  changed === 0 ? stored : stored ^ crc32c.afterZeros(crc32c.afterWord(0, changed), length - 4)
