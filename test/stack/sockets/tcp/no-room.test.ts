/** A network without room, and what it decides: sources, ports that are taken, refusals. */
import { describe, expect, it } from 'vitest'
import { Bed } from './bed.js'
import { pattern } from './puppet.js'
import { ip, same } from '../../support.js'

describe('without room in the network', () => {
  it('data waits for it', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    bed.network.isFull = true
    user.write(pattern(5000))
    expect(peer.sent()).toEqual([])
    bed.network.makeRoom()
    const sent = peer.segments()
    expect(same(Buffer.concat(sent.map(({ data }) => data)), pattern(5000).subarray(0, sent.at(-1)!.end - 1))).toBe(true)
    peer.send('A')
    peer.segments()
    peer.send('A')
    expect(user.endpoint.writeLength).toBe(0)
  })

  it('a SYN is sent later', () => {
    const bed = new Bed()
    bed.network.isFull = true
    const peer = bed.puppet()
    const user = bed.connect(peer)
    expect(peer.sent()).toEqual([])
    bed.network.makeRoom()
    bed.advance(1000)
    expect(peer.sent()[0]).toBe('S 0')
    peer.send('SA')
    expect(user.events).toEqual(['connect'])
  })

  it('an answer to a SYN is sent later, or when the SYN comes again', () => {
    const bed = new Bed()
    bed.listen(80)
    const peer = bed.puppet({ stackPort: 80 })
    bed.network.isFull = true
    peer.send('S')
    bed.network.makeRoom()
    bed.advance(1000)
    if (peer.pending === 0) peer.send('S', { seq: 0 })
    expect(peer.sent()[0]).toBe('SA 0 ack 1')
  })

  it('an acknowledgment is sent later', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    bed.network.isFull = true
    peer.send('A', { data: 'data' })
    expect(user.takeText()).toBe('data')
    bed.network.makeRoom()
    bed.advance(500)
    expect(peer.sent()).toEqual(['A 1 ack 5'])
  })

  it('a FIN is sent later', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    bed.network.isFull = true
    user.close()
    bed.network.makeRoom()
    bed.advance(500)
    expect(peer.sent()[0]).toBe('FA 1 ack 1')
  })

  it('it is given up in the end', () => {
    const bed = new Bed()
    bed.network.isFull = true
    const user = bed.connect(bed.puppet())
    bed.advance(1_000_000)
    expect(user.events).toEqual(['error ETIMEDOUT', 'close'])
    expect(bed.sockets).toBe(0)
  })
})

describe('what the network decides', () => {
  it('the source of an opening is known with its SYN', () => {
    const bed = new Bed({ addresses: ['10.0.0.1', '10.0.0.9'] })
    const user = bed.connect(bed.puppet())
    expect(user.endpoint.localAddress).toBe(ip('10.0.0.1'))
    expect(user.endpoint.localPort).toBeGreaterThanOrEqual(1024)
  })

  it('the source may change until the answer comes', () => {
    const bed = new Bed({ addresses: ['10.0.0.1', '10.0.0.9'] })
    const peer = bed.puppet()
    const user = bed.connect(peer)
    peer.syn()
    bed.network.pathMtu = 1400
    bed.stack.path(rowOf(bed, user.endpoint.localPort), ip('10.0.0.9'), 1400)
    expect(user.endpoint.localAddress).toBe(ip('10.0.0.9'))
    const moved = bed.puppet({ port: peer.port, stackAddress: '10.0.0.9' })
    bed.advance(1000)
    moved.syn()
    moved.send('SA')
    expect(user.events).toEqual(['connect'])
    user.write(pattern(3000))
    expect(Math.max(...moved.segments().map(({ length }) => length))).toBe(1360)
  })

  it('a port that is taken at the new source is exchanged for another, and the SYN goes out again', () => {
    const bed = new Bed({ addresses: ['10.0.0.1', '10.0.0.9'] })
    const peer = bed.puppet()
    const user = bed.connect(peer)
    const before = user.endpoint.localPort
    peer.syn()
    const other = bed.puppet({ port: peer.port, stackAddress: '10.0.0.9' })
    bed.stack.taken(rowOf(bed, before), ip('10.0.0.9'))
    bed.network.tell()
    expect([user.endpoint.localAddress, user.endpoint.localPort === before]).toEqual([ip('10.0.0.9'), false])
    other.syn()
    expect(other.stackPort).toBe(user.endpoint.localPort)
    other.send('SA')
    expect(user.events).toEqual(['connect'])
  })

  it.each([[113, 'EHOSTUNREACH'], [101, 'ENETUNREACH'], [1, 'EPERM']])('a refusal with %i ends an opening with %s', (errno, code) => {
    const bed = new Bed()
    const peer = bed.puppet()
    const user = bed.connect(peer)
    bed.stack.refused(rowOf(bed, user.endpoint.localPort), errno)
    expect(user.events).toEqual([`error ${code}`, 'close'])
    expect(user.error).toMatchObject({ code, errno: -errno, syscall: 'connect' })
  })

  it('a refusal does not end a connection', () => {
    const bed = new Bed()
    const { peer, user } = bed.opened()
    bed.stack.refused(rowOf(bed, 80, true), 113)
    peer.send('A', { data: 'alive' })
    expect(user.takeText()).toBe('alive')
  })
})

/** Row of the connection with this local port. */
const rowOf = (bed: Bed, port: number, isAccepted = false): number => {
  const found = [...bed.stack.tcp.sockets()].find((one) => one.localPort === port && (!isAccepted || one.remotePort !== 0))
  if (found === undefined) throw new Error(`no connection with port ${port}`)
  return found.row
}
