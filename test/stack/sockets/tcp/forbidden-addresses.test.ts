/** SOCK-15: addresses that have no connections (RFC 9293 3.9.2.3, RFC 1122 4.2.3.10). */
import { describe, expect, it } from 'vitest'
import { Bed } from './bed.js'
import type { TsnatError } from '../../../../src/errors.js'

const BROADCASTS = ['10.0.0.255', '255.255.255.255']
const OTHERS = ['224.0.0.1', '239.1.2.3', '240.0.0.1', '0.0.0.0']

describe('a SYN', () => {
  it.each([...BROADCASTS, ...OTHERS])('SOCK-15: to %s is discarded, with a listener and without', (address) => {
    const bed = new Bed()
    const { accepted } = bed.listen(80)
    for (const stackPort of [80, 81]) {
      const peer = bed.puppet({ stackPort, stackAddress: address })
      peer.send('S')
      peer.send('A', { ack: 1 })
      expect(peer.sent()).toEqual([])
    }
    bed.advance(10_000)
    expect(bed.strays).toEqual([])
    expect(accepted).toEqual([])
  })

  it.each([...BROADCASTS, ...OTHERS])('SOCK-15: from %s is discarded, with a listener and without', (address) => {
    const bed = new Bed()
    const { accepted } = bed.listen(80)
    for (const stackPort of [80, 81]) {
      const peer = bed.puppet({ stackPort, address })
      peer.send('S')
      peer.send('A', { ack: 1 })
      expect(peer.sent()).toEqual([])
    }
    bed.advance(10_000)
    expect(bed.strays).toEqual([])
    expect(accepted).toEqual([])
  })

  it('SOCK-15: from a neighbour is answered', () => {
    const bed = new Bed()
    bed.listen(80)
    bed.puppet({ stackPort: 80, address: '10.0.0.254' }).open()
  })
})

describe('connecting', () => {
  it.each([...BROADCASTS, '224.0.0.1', '239.1.2.3', '240.0.0.1'])('SOCK-15: to %s is refused, and nothing is sent', (address) => {
    const bed = new Bed()
    const peer = bed.puppet({ address, port: 80 })
    let code: string | undefined
    try {
      const user = bed.connect(peer)
      bed.advance(10)
      code = user.error?.code
    } catch (error) {
      code = (error as TsnatError | NodeJS.ErrnoException).code
    }
    expect(['ENETUNREACH', 'EACCES', 'EINVAL', 'EADDRNOTAVAIL']).toContain(code)
    bed.advance(10_000)
    expect(peer.sent()).toEqual([])
    expect(bed.strays).toEqual([])
    expect(bed.sockets).toBe(0)
  })
})
