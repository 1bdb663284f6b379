/** Where the table of sockets (socket-table.ts) has what: all numbers count words of 32 bits. */
import { SOCKET_FLAG } from './socket-row.js'

/** Words (int32) of the header. */
export const VERSION = 0
export const CAPACITY = 1
export const BUCKET_BITS = 2
/** First row of the list of free ones. */
export const FREE = 3
/** Rows from here on have never been used. */
export const FRESH = 4
export const COUNT = 5
export const KEYS = 6
export const KEY_COUNT = 8
export const HEADER_WORDS = 16

/** Words of a row. */
export const ROW_WORDS = 16
/** flags << 8 | protocol; 0 for a free row. */
export const KIND = 0
export const LOCAL_ADDRESS = 1
export const REMOTE_ADDRESS = 2
/** local << 16 | remote. */
export const PORTS = 3
export const INTERFACE = 4
export const MARK = 5
export const TOS = 6
export const GENERATION = 7
export const NEXT = 8
/** Where the chain begins that the row is in. */
export const BUCKET = 9

export const NONE = -1

export const PROTOCOL_MASK = 0xff
export const CONNECTED = SOCKET_FLAG.connected << 8
export const LISTENING = SOCKET_FLAG.listening << 8
export const REUSE_PORT = SOCKET_FLAG.reusePort << 8
