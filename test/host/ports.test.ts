import { describe, expect, it } from 'vitest'
import { countPorts, formatPorts, parsePorts, portSet } from '../../src/host/port-set.js'
import { defaultPorts, portsInListing, portsInSctpListing, usablePorts } from '../../src/host/ports.js'
import { parseIpv4 } from '../../src/stack/wire/address.js'

const WAN = new Set([parseIpv4('198.51.100.2')!])
const HEADING = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n'
const line = (local: string, state = '0A', remote = '00000000:0000'): string =>
  `   0: ${local} ${remote} ${state} 00000000:00000000 00:00000000 00000000     0        0 641 1 0000000090 100 0 0 10 0\n`
const listed = (...lines: string[]): string => formatPorts(portSet(portsInListing(HEADING + lines.join(''), WAN)))

describe('defaultPorts', () => {
  it('leaves the lower part of the local range to the kernel', () => {
    expect(formatPorts(defaultPorts({ first: 32768, last: 60999 }, true))).toBe('512-599,36864-60999')
    expect(formatPorts(defaultPorts({ first: 1024, last: 65535 }, true))).toBe('512-599,10240-65535')
    expect(formatPorts(defaultPorts({ first: 40000, last: 40999 }, true))).toBe('512-599,40150-40999')
    expect(formatPorts(defaultPorts({ first: 1, last: 65535 }, true))).toBe('512-599,9217-65535')
  })

  it('goes beside it where it cannot be reserved', () => {
    expect(formatPorts(defaultPorts({ first: 32768, last: 60999 }, false))).toBe('512-599,16384-32767,61000-65535')
    expect(formatPorts(defaultPorts({ first: 1024, last: 65535 }, false))).toBe('512-599')
  })
})

describe('portsInSctpListing', () => {
  it('finds local ports of endpoints and associations, whatever columns there are', () => {
    const endpoints = [
      ' ENDPT     SOCK   STY SST HBKT LPORT   UID INODE LADDRS',
      'ffff8800c0ffee00 ffff8800c0ffee80 2   10  12   36412     0 40125 198.51.100.2 192.0.2.1 ',
      'ffff8800c0ffee10 ffff8800c0ffee90 0   10  13   7         0 40126 0.0.0.0 ',
    ].join('\n')
    expect(formatPorts(portSet(portsInSctpListing(`${endpoints}\n`)))).toBe('7,36412')
    const associations = [
      ' ASSOC     SOCK   STY SST ST HBKT ASSOC-ID TX_QUEUE RX_QUEUE UID INODE LPORT RPORT LADDRS <-> RADDRS HBINT INS OUTS',
      'ffff8800deadbe00 ffff8800deadbe80 2   1   3  0      1        0        0        0 40127 36413   36412  *198.51.100.2 <-> *192.0.2.9  30000 10 10',
    ].join('\n')
    expect(formatPorts(portSet(portsInSctpListing(associations)))).toBe('36413')
    expect(portsInSctpListing('')).toEqual([])
  })
})

describe('portsInListing', () => {
  it('finds sockets that receive on the address', () => {
    expect(listed(line('00000000:1F90'), line('026433C6:0016'), line('0100007F:0035'), line('036433C6:0050'))).toBe('22,8080')
  })

  it('counts connections, but not what only waits for its end', () => {
    expect(listed(line('026433C6:9C40', '01', '016433C6:0050'), line('026433C6:9C41', '06', '016433C6:0050'))).toBe('40000')
  })

  it('understands IPv6 sockets', () => {
    expect(listed(
      line('00000000000000000000000000000000:0050'),
      line('0000000000000000FFFF0000026433C6:0051'),
      line('0000000000000000FFFF0000036433C6:0052'),
      line('B80D0120000000000000000001000000:0053'),
    )).toBe('80-81')
  })
})

describe('usablePorts', () => {
  it('takes held ports out', () => {
    expect(formatPorts(usablePorts(parsePorts('512-599,40000-40010'), parsePorts('22,40000,40005,40010')))).toBe('512-599,40001-40004,40006-40009')
  })

  it('gives up the smallest pieces when there are very many', () => {
    const odd = portSet(Array.from({ length: 10_000 }, (_, i) => ({ first: 20_001 + 2 * i, last: 20_001 + 2 * i })))
    const left = usablePorts(parsePorts('512-599,20000-65535'), odd)
    expect(left).toHaveLength(2048)
    expect(left[0]).toEqual({ first: 512, last: 599 })
    expect(left.at(-1)).toEqual({ first: 40000, last: 65535 })
    expect(countPorts(left)).toBe(88 + 25536 + 2046)
  })
})
