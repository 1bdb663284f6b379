import { endianness } from 'node:os'
import { describe, expect, it } from 'vitest'
import * as vnet from '../../../src/stack/wire/vnet.js'
import { embed, fromHex, toHex } from './hex.js'

const LITTLE = endianness() === 'LE'
/** NEEDS_CSUM, TCPv4, hdr_len 66, gso_size 1448, csum_start 34, csum_offset 16: a TCP superpacket behind Ethernet. */
const ETHERNET_TSO = fromHex(LITTLE ? '01 01 4200 a805 2200 1000' : '01 01 0042 05a8 0022 0010')
const IPV4_TSO = fromHex(LITTLE ? '01 01 3400 a805 1400 1000' : '01 01 0034 05a8 0014 0010')

const bytesAt = (view: DataView, at: number): string => toHex(new Uint8Array(view.buffer, at, vnet.LENGTH))

describe('virtio_net_hdr', () => {
  it('reads the fields', () => {
    const view = embed(ETHERNET_TSO, 6)
    expect(vnet.flags(view, 6)).toBe(vnet.F_NEEDS_CSUM)
    expect(vnet.gsoType(view, 6)).toBe(vnet.GSO_TCPV4)
    expect(vnet.headerLength(view, 6)).toBe(66)
    expect(vnet.gsoSize(view, 6)).toBe(1448)
    expect(vnet.checksumStart(view, 6)).toBe(34)
    expect(vnet.checksumOffset(view, 6)).toBe(16)
  })

  it('writes the fields', () => {
    const view = embed(new Uint8Array(vnet.LENGTH), 6)
    vnet.setFlags(view, 6, vnet.F_NEEDS_CSUM)
    vnet.setGsoType(view, 6, vnet.GSO_TCPV4)
    vnet.setHeaderLength(view, 6, 66)
    vnet.setGsoSize(view, 6, 1448)
    vnet.setChecksumStart(view, 6, 34)
    vnet.setChecksumOffset(view, 6, 16)
    expect(bytesAt(view, 6)).toBe(toHex(ETHERNET_TSO))
  })

  it('has the numbers of linux/virtio_net.h', () => {
    expect([vnet.GSO_NONE, vnet.GSO_TCPV4, vnet.GSO_UDP, vnet.GSO_TCPV6, vnet.GSO_UDP_L4, vnet.GSO_ECN]).toEqual([0, 1, 3, 4, 5, 0x80])
    expect([vnet.F_NEEDS_CSUM, vnet.F_DATA_VALID]).toEqual([1, 2])
  })

  it('clears ten bytes and no more', () => {
    const view = embed(ETHERNET_TSO, 6)
    vnet.clear(view, 6)
    expect(bytesAt(view, 6)).toBe('00'.repeat(10))
    expect([view.getUint8(5), view.getUint8(16)]).toEqual([0xee, 0xee])
  })

  it('moves from behind Ethernet to before IPv4 and back', () => {
    const view = embed(ETHERNET_TSO, 0)
    vnet.copy(view, 0, 14, -14)
    expect(bytesAt(view, 14)).toBe(toHex(IPV4_TSO))
    vnet.copy(view, 14, 0, 14)
    expect(bytesAt(view, 0)).toBe(toHex(ETHERNET_TSO))
  })

  it('moves onto itself when source and target overlap', () => {
    for (const to of [2, 4, 8, 10, 14]) {
      const view = embed(ETHERNET_TSO, 8)
      vnet.copy(view, 8, to, -14)
      expect(bytesAt(view, to)).toBe(toHex(IPV4_TSO))
    }
  })

  it('leaves fields alone that are not in use', () => {
    const view = embed(new Uint8Array(vnet.LENGTH), 0)
    vnet.setFlags(view, 0, vnet.F_DATA_VALID)
    vnet.copy(view, 0, 10, 14)
    expect(vnet.flags(view, 10)).toBe(vnet.F_DATA_VALID)
    expect(vnet.headerLength(view, 10)).toBe(0)
    expect(vnet.checksumStart(view, 10)).toBe(0)
  })
})
