import { describe, expect, it } from 'vitest'
import { canBind } from '../../../src/stack/sockets/bind.js'
import { SOCKET_FLAG, type SocketRow, SocketTable } from '../../../src/stack/sockets/socket-table.js'
import { ip } from '../support.js'
import { socketRow } from './support.js'

const TCP = 6
const UDP = 17
const { connected, listening, reuseAddress, reusePort, timeWait } = SOCKET_FLAG
const A = ip('10.0.0.1')
const B = ip('10.0.0.2')
const REMOTE = { remoteAddress: ip('198.51.100.10'), remotePort: 999 }

const free = (there: Partial<SocketRow>, wanted: Partial<SocketRow>): boolean => {
  const table = new SocketTable(SocketTable.allocate(8))
  table.add(socketRow({ localPort: 53, ...there }))
  return canBind(table, socketRow({ localPort: 53, protocol: there.protocol ?? UDP, ...wanted }))
}

describe('whether a socket can be bound', () => {
  it('another port, protocol, address or interface is no conflict', () => {
    expect(free({}, { localPort: 54 })).toBe(true)
    expect(free({ protocol: TCP, flags: listening }, { protocol: UDP })).toBe(true)
    expect(free({ localAddress: A }, { localAddress: B })).toBe(true)
    expect(free({ interface: 2 }, { interface: 3 })).toBe(true)
  })

  it('any address conflicts with each address, no interface with each interface', () => {
    expect(free({}, {})).toBe(false)
    expect(free({ localAddress: A }, { localAddress: A })).toBe(false)
    expect(free({ localAddress: A }, {})).toBe(false)
    expect(free({}, { localAddress: A })).toBe(false)
    expect(free({ interface: 2 }, {})).toBe(false)
    expect(free({ interface: 2, localAddress: A }, { interface: 2 })).toBe(false)
  })

  it('a connected UDP socket conflicts as well', () => {
    expect(free({ flags: connected, localAddress: A, ...REMOTE }, { localAddress: A })).toBe(false)
    expect(free({ flags: connected, localAddress: A, ...REMOTE }, { localAddress: B })).toBe(true)
  })

  it('SO_REUSEADDR and SO_REUSEPORT must be on both sockets', () => {
    for (const flag of [reuseAddress, reusePort]) {
      expect(free({ flags: flag }, {})).toBe(false)
      expect(free({}, { flags: flag })).toBe(false)
      expect(free({ flags: flag }, { flags: flag })).toBe(true)
      expect(free({ flags: flag }, { flags: flag, localAddress: A })).toBe(true)
    }
    expect(free({ flags: reuseAddress }, { flags: reusePort })).toBe(false)
  })

  it('SO_REUSEADDR lets a TCP listener pass connections and TIME_WAIT, but no other listener', () => {
    const old = { protocol: TCP, localAddress: A, ...REMOTE }
    expect(free({ ...old, flags: connected | reuseAddress }, { flags: listening | reuseAddress })).toBe(true)
    expect(free({ ...old, flags: connected | timeWait | reuseAddress }, { flags: listening | reuseAddress })).toBe(true)
    expect(free({ ...old, flags: connected | reuseAddress }, { flags: listening })).toBe(false)
    expect(free({ protocol: TCP, flags: listening | reuseAddress }, { flags: listening | reuseAddress })).toBe(false)
    expect(free({ protocol: TCP, flags: listening | reusePort }, { flags: listening | reusePort })).toBe(true)
  })

  it('a socket does not conflict with itself', () => {
    const table = new SocketTable(SocketTable.allocate(8))
    const row = socketRow({ localPort: 53, localAddress: A })
    const index = table.add(row)
    expect(canBind(table, row, index)).toBe(true)
    expect(canBind(table, { ...row, localAddress: 0 }, index)).toBe(true)
    expect(canBind(table, row)).toBe(false)
  })
})
