/** Whole packets through the data plane, between devices that replay them; and its steps one by one. */
import { translate } from '../../../src/nat/translate.js'
import { Batch, createSlab } from '../../../src/stack/batch.js'
import { NO_OFFLOADS } from '../../../src/stack/device/device.js'
import { Packet, parse } from '../../../src/stack/parse.js'
import * as checksum from '../../../src/stack/wire/checksum.js'
import * as ipv4 from '../../../src/stack/wire/ipv4.js'
import * as tcp from '../../../src/stack/wire/tcp.js'
import * as vnet from '../../../src/stack/wire/vnet.js'
import { buildTcp, buildUdp } from '../../../src/testing/packets.js'
import { type Case, sink } from './case.js'
import { ALL_OFFLOADS, gateway, list, NO_VNET, WAN } from './gateway.js'
import { ReplayDevice } from './replay-device.js'

const MSS = 1448
const SEGMENTS = 44

/** The two ends of flow number `index`. Its source port is its own towards its remote, and so is kept. */
const ends = (index: number) => ({
  inside: { address: 0x0a000002 + (index & 0xffff), port: 1024 + (index & 0x7fff) },
  remote: { address: 0xc6120001 + (index >>> 15), port: 53 },
})

/** 64 bytes on the wire without its link header: an IPv4 datagram of 46. */
const udpFrom = (index: number, df = true): Uint8Array => {
  const { inside, remote } = ends(index)
  return buildUdp({ source: inside.address, destination: remote.address, sourcePort: inside.port, destinationPort: remote.port, df, payload: new Uint8Array(18) })
}

const udpTo = (index: number): Uint8Array => {
  const { inside, remote } = ends(index)
  return buildUdp({ source: remote.address, destination: WAN, sourcePort: remote.port, destinationPort: inside.port, df: true, payload: new Uint8Array(18) })
}

/** Segments of established connections: the SYN, its answer, and what follows. */
const segmentFrom = (index: number, flags: number, sequence: number, payload = 0): Uint8Array => {
  const { inside, remote } = ends(index)
  return buildTcp({
    source: inside.address, destination: remote.address, sourcePort: inside.port, destinationPort: remote.port,
    flags, sequence, acknowledgment: (flags & tcp.ACK) === 0 ? 0 : 1, df: true, payload: new Uint8Array(payload),
  })
}

const segmentTo = (index: number, flags: number, sequence: number, payload = 0): Uint8Array => {
  const { inside, remote } = ends(index)
  return buildTcp({
    source: remote.address, destination: WAN, sourcePort: remote.port, destinationPort: inside.port,
    flags, sequence, acknowledgment: 1, df: true, payload: new Uint8Array(payload),
  })
}

/** A superpacket as the kernel hands it over: its checksum unfinished. */
const superpacket = (segments: number): { bytes: Uint8Array; header: Uint8Array } => {
  const { inside, remote } = ends(0)
  const payload = new Uint8Array(segments * MSS)
  const bytes = buildTcp({
    source: inside.address, destination: remote.address, sourcePort: inside.port, destinationPort: remote.port,
    flags: tcp.ACK, sequence: 1, acknowledgment: 1, df: true, payload, options: new Uint8Array(12).fill(1),
  })
  const view = new DataView(bytes.buffer)
  tcp.setChecksum(view, ipv4.HEADER_MIN, checksum.pseudoHeader(inside.address, remote.address, ipv4.PROTOCOL_TCP, bytes.length - ipv4.HEADER_MIN))
  const header = new Uint8Array(vnet.LENGTH)
  const fields = new DataView(header.buffer)
  vnet.setFlags(fields, 0, vnet.F_NEEDS_CSUM)
  vnet.setGsoType(fields, 0, segments > 1 ? vnet.GSO_TCPV4 : vnet.GSO_NONE)
  vnet.setGsoSize(fields, 0, segments > 1 ? MSS : 0)
  vnet.setHeaderLength(fields, 0, 52)
  vnet.setChecksumStart(fields, 0, ipv4.HEADER_MIN)
  vnet.setChecksumOffset(fields, 0, tcp.CHECKSUM_OFFSET)
  return { bytes, header }
}

/** 64-byte UDP packets of `flows` flows in turn; `df` false: they get new IDs on their way out. */
export const udpPackets = (flows: number, direction: 'out' | 'in', df = true): Case => {
  const count = Math.max(64, flows)
  const { pipeline, lanDevice, wanDevice } = gateway(
    { packets: list(count, (index) => udpFrom(index % flows, df)) },
    { packets: list(count, (index) => udpTo(index % flows)) },
    ALL_OFFLOADS,
  )
  const [from, out] = direction === 'out' ? [pipeline.lan, wanDevice] : [pipeline.wans[0]!, lanDevice]
  const { perBatch } = lanDevice
  return {
    name: `UDP packet of 64 bytes, ${direction === 'out' ? 'LAN to WAN' : 'WAN to LAN'}, ${flows} ${flows === 1 ? 'flow' : 'flows'}${df ? '' : ', DF unset'}`,
    count: perBatch,
    run: () => {
      const before = out.sent
      pipeline.pump(from)
      if (out.sent !== before + perBatch) throw new Error('packets were dropped')
    },
  }
}

/** A gateway with `flows` established TCP connections. */
const established = (flows: number) => {
  const count = Math.max(64, flows)
  const made = gateway(
    { packets: list(count, (index) => segmentFrom(index % flows, tcp.SYN, 0)) },
    { packets: list(count, (index) => segmentTo(index % flows, tcp.SYN | tcp.ACK, 0)) },
    ALL_OFFLOADS,
  )
  const { plane, pipeline } = made
  const acknowledgments = new ReplayDevice(plane.slab, pipeline.lan.region, list(count, (index) => segmentFrom(index % flows, tcp.ACK, 1)), NO_VNET, ALL_OFFLOADS)
  const batches = Math.ceil(count / acknowledgments.perBatch)
  for (let batch = 0; batch < batches; batch++) pipeline.pump(pipeline.wans[0]!)
  pipeline.lan.replaceDevice(acknowledgments)
  for (let batch = 0; batch < batches; batch++) pipeline.pump(pipeline.lan)
  return made
}

/** TCP segments of 6 bytes of `flows` connections in turn. */
export const tcpPackets = (flows: number, direction: 'out' | 'in'): Case => {
  const count = Math.max(64, flows)
  const { plane, pipeline } = established(flows)
  const isOut = direction === 'out'
  const packets = list(count, (index) => (isOut ? segmentFrom : segmentTo)(index % flows, tcp.ACK | tcp.PSH, 1, 6))
  const from = isOut ? pipeline.lan : pipeline.wans[0]!
  const to = isOut ? pipeline.wans[0]! : pipeline.lan
  const device = new ReplayDevice(plane.slab, from.region, packets, NO_VNET, ALL_OFFLOADS)
  const out = new ReplayDevice(plane.slab, { start: 0, end: 0 }, [], NO_VNET, ALL_OFFLOADS)
  from.replaceDevice(device)
  to.replaceDevice(out)
  return {
    name: `TCP segment of 64 bytes, ${isOut ? 'LAN to WAN' : 'WAN to LAN'}, ${flows} ${flows === 1 ? 'flow' : 'flows'}`,
    count: device.perBatch,
    run: () => {
      const before = out.sent
      pipeline.pump(from)
      if (out.sent !== before + device.perBatch) throw new Error('packets were dropped')
    },
  }
}

/** TCP superpackets of nearly 64 KiB on one flow; `offloads` false: cut and summed here. */
export const superpackets = (offloads: boolean): Case => {
  const { bytes, header } = superpacket(SEGMENTS)
  const { plane, pipeline } = established(1)
  const device = new ReplayDevice(plane.slab, pipeline.lan.region, list(7, () => bytes), header, NO_OFFLOADS)
  pipeline.lan.replaceDevice(device)
  const out = new ReplayDevice(plane.slab, { start: 0, end: 0 }, [], NO_VNET, offloads ? ALL_OFFLOADS : NO_OFFLOADS)
  pipeline.wans[0]!.replaceDevice(out)
  const expected = device.perBatch * (offloads ? 1 : SEGMENTS)
  return {
    name: `TCP superpacket of ${bytes.length} bytes, ${offloads ? 'passed on whole' : `cut into ${SEGMENTS} and summed here`}`,
    count: device.perBatch,
    run: () => {
      const before = out.sent
      pipeline.pump(pipeline.lan)
      if (out.sent !== before + expected) throw new Error('packets were dropped')
    },
  }
}

/** What the devices of these benchmarks themselves cost: part of each number of a whole packet. */
export const replayAlone = (): Case => {
  const slab = createSlab(1 << 20)
  const region = { start: 0, end: 512 << 10 }
  const device = new ReplayDevice(slab, region, list(64, (index) => udpFrom(index)), NO_VNET, ALL_OFFLOADS)
  const batch = new Batch(64)
  return {
    name: 'the replay itself',
    count: device.perBatch,
    run: () => {
      device.receive(slab, region, batch)
      device.send(slab, batch)
    },
  }
}

const onePacket = () => {
  const { plane, pipeline } = gateway({ packets: [udpFrom(0)] }, { packets: [udpTo(0)] }, ALL_OFFLOADS)
  const { slab, table } = plane
  const at = pipeline.lan.region.start + 64
  slab.bytes.set(udpFrom(0), at)
  return { slab, table, at, packet: new Packet() }
}

const PER_CALL = 256

export const parseAlone = (): Case => {
  const { slab, at, packet } = onePacket()
  return {
    name: 'parse',
    count: PER_CALL,
    run: () => {
      for (let done = 0; done < PER_CALL; done++) sink.value += parse(slab.view, at, 46, packet)
    },
  }
}

export const translateAlone = (): Case => {
  const { slab, table, at, packet } = onePacket()
  parse(slab.view, at, 46, packet)
  const side = table.find(packet.source, packet.destination, packet.ports, packet.protocol)
  if (side < 0) throw new Error('the flow was not opened')
  return {
    name: 'translate',
    count: PER_CALL,
    run: () => {
      for (let done = 0; done < PER_CALL; done++) translate(slab.view, packet, table, side)
    },
  }
}
