/** States of a connection (RFC 9293 3.3.2). Those from ESTABLISHED on are synchronised; LISTEN is a listener (listener.ts). */
export const CLOSED = 0
export const SYN_SENT = 1
export const SYN_RECEIVED = 2
export const ESTABLISHED = 3
export const FIN_WAIT_1 = 4
export const FIN_WAIT_2 = 5
export const CLOSE_WAIT = 6
export const CLOSING = 7
export const LAST_ACK = 8
export const TIME_WAIT = 9

/** In the order of their numbers, as `ss` and `netstat` call them. */
export const STATE_NAMES = [
  'CLOSED', 'SYN-SENT', 'SYN-RECEIVED', 'ESTABLISHED', 'FIN-WAIT-1', 'FIN-WAIT-2', 'CLOSE-WAIT', 'CLOSING', 'LAST-ACK', 'TIME-WAIT',
] as const

/** Whether the peer may still send data: it has sent no FIN yet that was in order. */
export const mayReceive = (state: number): boolean => state === ESTABLISHED || state === FIN_WAIT_1 || state === FIN_WAIT_2

/** Sequence numbers are compared by the sign of their difference. */
export const isBefore = (a: number, b: number): boolean => ((a - b) | 0) < 0
export const isAfter = (a: number, b: number): boolean => ((a - b) | 0) > 0
