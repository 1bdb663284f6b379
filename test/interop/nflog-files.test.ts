/** Capture files of NFLOG rules, read by tshark and tcpdump. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { buildTcp, buildUdp } from '../../src/testing/packets.js'
import { EPOCH, LogBed, temporaryDirectory } from '../control/rule-log-bed.js'

const ENDS = { source: '10.0.0.2', destination: '198.51.100.10', sourcePort: 40000, destinationPort: 53 }

/** Runs a program that writes warnings, which are not wanted. */
const output = (program: string, ...args: string[]): string => execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })

it('tells tshark interface, direction, time, prefix and length of each packet; tcpdump reads them, too', async () => {
  const directory = temporaryDirectory()
  const bed = new LogBed([
    '-A FORWARD -p udp -j NFLOG --nflog-group 5 --nflog-prefix "dns: " --nflog-size 100', '-A FORWARD -j MARK --set-mark 7',
    '-A FORWARD -p tcp -j NFLOG --nflog-group 5 --nflog-prefix "web ü"', '-A OUTPUT -j NFLOG --nflog-group 5',
  ].join('\n'), { directory })
  bed.pass(buildUdp({ ...ENDS, payload: new Uint8Array(1200) }))
  bed.now = 1000.999
  bed.pass(buildTcp({ ...ENDS, destinationPort: 443, payload: new Uint8Array(10) }), 'FORWARD', { inInterface: 3, outInterface: 2 })
  bed.now = 1001
  bed.pass(buildUdp(ENDS), 'OUTPUT')
  bed.writer.drain()
  await bed.writer.stop()

  const file = join(directory, 'lab-nflog-5.pcapng')
  const fields = [
    'frame.time_epoch', 'frame.interface_name', 'frame.interface_description', 'frame.packet_flags_direction', 'frame.comment', 'frame.len', 'frame.cap_len', 'ip.dst',
    'tcp.dstport',
  ]
  const text = output('tshark', '-n', '-r', file, '-T', 'fields', '-E', 'separator=;', '-E', 'aggregator=|', ...fields.flatMap((field) => ['-e', field]))
  const second = EPOCH / 1000 + 1
  expect(text.trimEnd().split('\n').map((line) => line.split(';'))).toEqual([
    [`${second}.000250000`, 'tun0', 'LAN side of tsnat', '0x00000001', 'dns: |FORWARD in=tun0 out=eth0', '1228', '100', ENDS.destination, ''],
    [`${second}.000999000`, 'eth0', 'WAN side of tsnat', '0x00000001', 'web ü|FORWARD in=eth0 out=tun0 mark=0x7', '50', '50', ENDS.destination, '443'],
    [`${second}.001000000`, 'eth0', 'WAN side of tsnat', '0x00000002', 'OUTPUT out=eth0', '28', '28', ENDS.destination, ''],
  ])
  expect(output('tcpdump', '-n', '-r', file).split('\n').filter((line) => line.includes('198.51.100.10'))).toHaveLength(3)
})
