import { describe, expect, it } from 'vitest'
import { NO_SOCKET } from '../../../../src/stack/sockets/network.js'
import { buildTcp } from '../../../../src/testing/packets.js'
import * as tcp from '../../../../src/stack/wire/tcp.js'
import { ip, superpacket, writeVnet } from '../../support.js'
import * as vnet from '../../../../src/stack/wire/vnet.js'
import { ALL_OFFLOADS, type Handed, MemoryNetwork } from '../memory-network.js'
import { Puppet } from './puppet.js'
import { flagsOf, Segment } from './segment.js'

/** A network whose stack keeps what it gets. */
const listening = (options = {}): { network: MemoryNetwork; received: Uint8Array[]; paths: unknown[]; handed: Handed[] } => {
  const network = new MemoryNetwork(options)
  const [received, paths, handed]: [Uint8Array[], unknown[], Handed[]] = [[], [], []]
  network.user = {
    receive: (slab, at, length) => void received.push(slab.bytes.slice(at, at + length)),
    settle: () => undefined,
    path: (...path) => void paths.push(path),
    taken: () => undefined, refused: () => undefined, room: () => undefined,
  }
  network.onSend = (sent) => void handed.push(sent)
  return { network, received, paths, handed }
}

/** Sends as a stack does. */
const send = (network: MemoryNetwork, made: { bytes: Uint8Array; vnet?: object }, socket = NO_SOCKET): void => {
  const at = network.reserve(made.bytes.length)
  network.slab.bytes.set(made.bytes, at)
  writeVnet(network.slab.view, at - vnet.LENGTH, made.vnet ?? {})
  network.send(at, made.bytes.length, socket)
}

const segment = { source: 0, destination: '10.0.0.2', sourcePort: 80, destinationPort: 5000, sequence: 77, flags: flagsOf('A') }

describe('a puppet', () => {
  it('counts what it sends from its initial number', () => {
    const { network, received } = listening()
    const peer = new Puppet({ network, now: 5 }, { stackPort: 80, scale: 7, sack: true, timestamps: true })
    peer.send('S').send('A', { data: 'hello' }).send('FA', { seq: 9 })
    const read = received.map((bytes) => new Segment(bytes, 0, peer.first, 0))
    expect(read.map(({ text }) => text)).toEqual(['S 0', 'A 1:6 ack 0', 'FA 9 ack 0'])
    expect(read[0]!.options).toEqual({ mss: 1460, scale: 7, sackPermitted: true, timestamps: [5, 0] })
    expect(peer.seq).toBe(6)
  })

  it('counts what it gets from the SYN that came', () => {
    const peer = new Puppet({ network: listening().network, now: 0 })
    const syn = buildTcp({ ...segment, source: '10.0.0.1', flags: tcp.SYN | tcp.ACK, acknowledgment: peer.first + 1 })
    peer.arrived(syn)
    peer.arrived(buildTcp({ ...segment, source: '10.0.0.1', sequence: 78, acknowledgment: peer.first + 1, payload: new Uint8Array(10), flags: flagsOf('PAU'), urgentPointer: 3 }))
    expect(peer.sent()).toEqual(['SA 0 ack 1', 'AU 1:11 ack 1 urg 3'])
    expect([peer.ack, peer.stackPort]).toEqual([11, 80])
  })
})

describe('a memory network', () => {
  it('fills in a source and tells of it late', () => {
    const { network, paths, handed } = listening()
    send(network, { bytes: buildTcp(segment) }, 4)
    expect(handed.map(({ socket, wire }) => [socket, wire.length])).toEqual([[4, 1]])
    expect(paths).toEqual([])
    network.tell()
    expect(paths).toEqual([[4, ip('10.0.0.1'), 1500]])
  })

  it('cuts superpackets as a device would', () => {
    const { network, handed } = listening({ offloads: ALL_OFFLOADS })
    send(network, superpacket(buildTcp({ ...segment, payload: new Uint8Array(3000) }), 1460))
    expect(handed[0]!.wire.map((bytes) => new Segment(bytes, 0, 77, 0).text)).toEqual(['A 0:1460 ack 0', 'A 1460:2920 ack 0', 'A 2920:3000 ack 0'])
  })

  it('refuses what is wrong', () => {
    const { network } = listening()
    expect(() => send(network, { bytes: buildTcp({ ...segment, corrupt: 'transport' }) })).toThrow('TCP checksum is wrong')
    expect(() => send(network, { bytes: buildTcp({ ...segment, payload: new Uint8Array(1461) }) })).toThrow('does not fit an MTU of 1500')
  })
})
