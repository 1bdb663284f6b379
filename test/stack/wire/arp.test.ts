import { describe, expect, it } from 'vitest'
import * as arp from '../../../src/stack/wire/arp.js'
import { embed, fromHex, toHex } from './hex.js'

/** Who has 203.0.113.9? Tell 203.0.113.1 (02:00:0a:00:00:fe). */
const WHO_HAS = fromHex('0001 0800 06 04 0001  02000a0000fe cb007101  000000000000 cb007109')

describe('ARP', () => {
  it('reads the fields', () => {
    const view = embed(WHO_HAS, 14)
    expect(arp.isEthernetIpv4(view, 14, 28)).toBe(true)
    expect(arp.operation(view, 14)).toBe(arp.REQUEST)
    expect(arp.senderMacHigh(view, 14)).toBe(0x0200)
    expect(arp.senderMacLow(view, 14)).toBe(0x0a0000fe)
    expect(arp.senderIp(view, 14)).toBe(0xcb007101 | 0)
    expect(arp.targetMacHigh(view, 14)).toBe(0)
    expect(arp.targetMacLow(view, 14)).toBe(0)
    expect(arp.targetIp(view, 14)).toBe(0xcb007109 | 0)
  })

  it('writes what it reads', () => {
    const view = embed(new Uint8Array(arp.LENGTH), 14)
    arp.write(view, 14, arp.REQUEST, 0x0200, 0x0a0000fe, 0xcb007101 | 0, 0, 0, 0xcb007109 | 0)
    expect(toHex(new Uint8Array(view.buffer, 14, arp.LENGTH))).toBe(toHex(WHO_HAS))
  })

  it('takes padding behind the packet, and nothing shorter', () => {
    const view = embed(WHO_HAS, 0)
    expect(arp.isEthernetIpv4(view, 0, 46)).toBe(true)
    expect(arp.isEthernetIpv4(view, 0, 27)).toBe(false)
    expect(arp.isEthernetIpv4(view, 0, 0)).toBe(false)
  })

  it('refuses other hardware, protocols and address sizes', () => {
    for (const [at, value] of [
      [1, 6],
      [3, 1],
      [4, 8],
      [5, 16],
    ] as const) {
      const other = WHO_HAS.slice()
      other[at] = value
      expect(arp.isEthernetIpv4(embed(other, 0), 0, 28)).toBe(false)
    }
  })
})
