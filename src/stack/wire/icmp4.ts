/** ICMP for IPv4 (RFC 792). `at` is the address of the message; the caller has checked that 8 bytes are there. */

/** Bytes before the quoted packet of an error, and before the data of an echo. */
export const ERROR_HEADER = 8
/** Address of the checksum field, counted from the message. */
export const CHECKSUM_OFFSET = 2

export const ECHO_REPLY = 0
export const UNREACHABLE = 3
/** Deprecated: neither sent nor obeyed (RFC 6633). */
export const SOURCE_QUENCH = 4
export const REDIRECT = 5
export const ECHO_REQUEST = 8
export const TIME_EXCEEDED = 11
export const PARAMETER_PROBLEM = 12
export const TIMESTAMP = 13
export const TIMESTAMP_REPLY = 14

/** Codes of UNREACHABLE. */
export const CODE_NET = 0
export const CODE_HOST = 1
export const CODE_PROTOCOL = 2
export const CODE_PORT = 3
export const CODE_FRAGMENTATION_NEEDED = 4
export const CODE_SOURCE_ROUTE_FAILED = 5
export const CODE_NET_PROHIBITED = 9
export const CODE_HOST_PROHIBITED = 10
export const CODE_ADMIN_PROHIBITED = 13
/** Codes of TIME_EXCEEDED. */
export const CODE_TTL = 0
export const CODE_REASSEMBLY = 1

export const type = (view: DataView, at: number): number => view.getUint8(at)
export const code = (view: DataView, at: number): number => view.getUint8(at + 1)
export const checksum = (view: DataView, at: number): number => view.getUint16(at + 2)
/** Of a query: what a port is to UDP. */
export const identifier = (view: DataView, at: number): number => view.getUint16(at + 4)
export const sequence = (view: DataView, at: number): number => view.getUint16(at + 6)
/** Of UNREACHABLE, CODE_FRAGMENTATION_NEEDED: the next hop's MTU in bytes (RFC 1191); 0 from old routers. */
export const mtu = (view: DataView, at: number): number => view.getUint16(at + 6)

export const setType = (view: DataView, at: number, value: number): void => view.setUint8(at, value)
export const setCode = (view: DataView, at: number, value: number): void => view.setUint8(at + 1, value)
export const setChecksum = (view: DataView, at: number, value: number): void => view.setUint16(at + 2, value)
export const setIdentifier = (view: DataView, at: number, value: number): void => view.setUint16(at + 4, value)
export const setSequence = (view: DataView, at: number, value: number): void => view.setUint16(at + 6, value)
export const setMtu = (view: DataView, at: number, value: number): void => view.setUint16(at + 6, value)

const mask = (...types: readonly number[]): number => types.reduce((bits, one) => bits | (1 << one), 0)
const ERRORS = mask(UNREACHABLE, SOURCE_QUENCH, REDIRECT, TIME_EXCEEDED, PARAMETER_PROBLEM)
const QUERIES = mask(ECHO_REPLY, ECHO_REQUEST, TIMESTAMP, TIMESTAMP_REPLY)
const REQUESTS = mask(ECHO_REQUEST, TIMESTAMP)

/** Types that quote a packet. */
export const isError = (value: number): boolean => value < 32 && ((ERRORS >>> value) & 1) !== 0
/** Requests and replies that carry an identifier. The obsolete ones (RFC 6918: information, address mask) do not count. */
export const isQuery = (value: number): boolean => value < 32 && ((QUERIES >>> value) & 1) !== 0
export const isRequest = (value: number): boolean => value < 32 && ((REQUESTS >>> value) & 1) !== 0
