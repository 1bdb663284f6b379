import { describe, expect, it } from 'vitest'
import { QuotedError, readQuotedError } from '../../../src/stack/sockets/quoted-error.js'
import { buildIcmpEcho, buildIcmpError, buildTcp, buildUdp } from '../../../src/testing/packets.js'
import { A, ip, P, parsed } from '../support.js'

const ROUTER = '192.0.2.1'
const tcp = buildTcp({ source: A, destination: P, sourcePort: 1234, destinationPort: 80, sequence: -5 })

const read = (bytes: Uint8Array): QuotedError | null => {
  const { slab, packet } = parsed(bytes)
  const error = new QuotedError()
  return readQuotedError(slab.view, packet, error) ? error : null
}
const about = (original: Uint8Array, type = 3, code = 3, mtu = 0, quote = original.length): Uint8Array =>
  buildIcmpError({ source: ROUTER, destination: A, type, code, mtu, quote: original, quoteLength: quote })

describe('readQuotedError', () => {
  it('says what happened to which packet', () => {
    expect(read(about(tcp, 3, 4, 1400))).toEqual({
      type: 3, code: 4, mtu: 1400, protocol: 6, localAddress: ip(A), localPort: 1234, remoteAddress: ip(P), remotePort: 80, sequence: -5, length: 40, from: ip(ROUTER),
    })
    expect(read(about(buildUdp({ source: A, destination: P, sourcePort: 5, destinationPort: 53, payload: Uint8Array.of(1) }), 11, 0, 99)))
      .toMatchObject({ type: 11, code: 0, mtu: 0, protocol: 17, localPort: 5, remotePort: 53, length: 29 })
    expect(read(about(buildIcmpEcho({ source: A, destination: P, identifier: 77, sequence: 3 })))).toMatchObject({ protocol: 1, localPort: 77, remotePort: 0, sequence: 3 })
  })

  it('is content with 8 bytes of the transport header, and no less', () => {
    expect(read(about(tcp, 3, 3, 0, 28))).toMatchObject({ localPort: 1234, sequence: -5 })
    for (const quote of [0, 19, 20, 27]) expect(read(about(tcp, 3, 3, 0, quote))).toBeNull()
  })

  it('knows nothing of later fragments, replies, other versions and bad headers', () => {
    const changed = (at: number, value: number): Uint8Array => tcp.with(at, value)
    for (const quote of [changed(0, 0x65), changed(0, 0x44), changed(0, 0x4f), changed(7, 1)]) expect(read(about(quote))).toBeNull()
    expect(read(about(buildIcmpEcho({ source: A, destination: P, identifier: 77, sequence: 3, reply: true })))).toBeNull()
  })
})
