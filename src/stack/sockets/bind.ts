/**
 * Whether a socket may be bound beside those that are there: Linux's rules for SO_REUSEADDR, SO_REUSEPORT and SO_BINDTODEVICE
 * (inet_csk_bind_conflict for TCP, udp_lib_lport_inuse for the others).
 */
import * as ipv4 from '../wire/ipv4.js'
import type { Network } from './network.js'
import { SOCKET_FLAG, type SocketRow, type SocketTable } from './socket-table.js'

const overlap = (a: number, b: number): boolean => a === b || a === 0 || b === 0

/** Whether a socket with these flags, local end and interface stands in the way of the one at a row, and the other way round. */
const conflicts = (table: SocketTable, index: number, { protocol, flags, localAddress, interface: device }: SocketRow): boolean => {
  if (!overlap(table.localAddressOf(index), localAddress) || !overlap(table.interfaceOf(index), device)) return false
  const other = table.flagsOf(index)
  const both = other & flags
  if ((both & SOCKET_FLAG.reusePort) !== 0) return false
  return (both & SOCKET_FLAG.reuseAddress) === 0 || (protocol === ipv4.PROTOCOL_TCP && (other & SOCKET_FLAG.listening) !== 0)
}

/**
 * Whether a socket may be bound as `row` says, with a local port, as far as this table and those who share addresses with it are concerned;
 * EADDRINUSE otherwise.
 */
export const canBindAt = (network: Network, table: SocketTable, row: SocketRow): boolean =>
  canBind(table, row) && network.isOccupied?.(row.protocol, row.localAddress, row.localPort) !== true

/**
 * Whether `row`, with a local port, may be added to the table.
 * @param self the row of the socket itself when it has one already, else -1
 */
export const canBind = (table: SocketTable, row: SocketRow, self = -1): boolean => {
  const { protocol, localAddress, localPort } = row
  const { ports } = table
  if (localAddress !== 0 && ports.connected(protocol, localPort) === 0) {
    // The many sockets of a proxy that answer from foreign addresses have one port in common: only those at this address count.
    for (let index = table.nextAt(protocol, localAddress, localPort, -1); index !== -1; index = table.nextAt(protocol, localAddress, localPort, index)) {
      if (index !== self && conflicts(table, index, row)) return false
    }
    for (let index = table.nextAt(protocol, 0, localPort, -1); index !== -1; index = table.nextAt(protocol, 0, localPort, index)) {
      if (index !== self && conflicts(table, index, row)) return false
    }
    return true
  }
  for (let index = ports.first(protocol, localPort); index !== -1; index = ports.next(index)) {
    if (index !== self && conflicts(table, index, row)) return false
  }
  return true
}
