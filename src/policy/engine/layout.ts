/** How a compiled rule lies in an Int32Array: what nearly all rules test, in words; the rest in lists that it points into. */

export const RULE_WORDS = 16

export const SOURCE = 0
export const SOURCE_MASK = 1
export const DESTINATION = 2
export const DESTINATION_MASK = 3
export const FLAGS = 4
export const PROTOCOL = 5
export const IN_INTERFACE = 6
export const OUT_INTERFACE = 7
/** `first << 16 | last` */
export const SOURCE_PORTS = 8
export const DESTINATION_PORTS = 9
/** `mask << 8 | value` */
export const TCP_FLAGS = 10
/** Index of the match whose ports and flags these are. */
export const PORT_MATCH = 11
/** First of the further tests, and their number. */
export const TESTS = 12
export const TEST_COUNT = 13
/** DO_*, and the chain or the target that it is about. */
export const ACTION = 14
export const OPERAND = 15

// Bits of FLAGS
export const NOT_SOURCE = 1
export const NOT_DESTINATION = 2
export const HAS_IN = 4
export const NOT_IN = 8
export const IN_WILDCARD = 0x10
export const HAS_OUT = 0x20
export const NOT_OUT = 0x40
export const OUT_WILDCARD = 0x80
export const HAS_PROTOCOL = 0x100
export const NOT_PROTOCOL = 0x200
export const HAS_FRAGMENT = 0x400
export const NOT_FRAGMENT = 0x800
/** SOURCE_PORTS and DESTINATION_PORTS count, and there must be a transport header. */
export const HAS_PORTS = 0x1000
export const NOT_SOURCE_PORTS = 0x2000
export const NOT_DESTINATION_PORTS = 0x4000
export const HAS_TCP_FLAGS = 0x8000
export const NOT_TCP_FLAGS = 0x10000
/** TCP_FLAGS has PSH in it. */
export const HAS_PSH = 0x20000

export const ANY_PORT = 0x0000ffff

// ACTION
export const DO_CONTINUE = 0
export const DO_ACCEPT = 1
export const DO_DROP = 2
export const DO_RETURN = 3
export const DO_JUMP = 4
export const DO_GOTO = 5
export const DO_APPLY = 6
