import { expect, it } from 'vitest'
import { createMetrics } from '../src/metrics.js'
import { exampleStatus } from './api/gateway-double.js'

it('shows the status of the moment as Prometheus text', async () => {
  const status = exampleStatus()
  const metrics = createMetrics(() => status)
  expect(metrics.contentType).toContain('text/plain; version=0.0.4')
  const first = await metrics.text()
  for (const line of [
    'tsnat_info{name="default",version="0.1.0"} 1',
    'tsnat_state{state="ready"} 1',
    'tsnat_state{state="degraded"} 0',
    'tsnat_uptime_seconds 7443.2',
    'tsnat_flows{protocol="tcp"} 1',
    'tsnat_flows_capacity 262144',
    'tsnat_sockets{kind="tcp"} 2',
    'tsnat_sockets{kind="time-wait"} 1',
    'tsnat_sockets_capacity 65536',
    '# TYPE tsnat_flows_opened_total counter',
    'tsnat_flows_opened_total 1000',
    'tsnat_dropped_packets_total{reason="ttl-expired"} 12',
    'tsnat_receive_bytes_total{side="lan",interface="tun0"} 1234567',
    'tsnat_transmit_errors_total{side="wan",interface="eth0"} 2',
    'tsnat_kernel_drops_total{side="wan",interface="eth0"} 5',
    'tsnat_interface_up{side="wan",interface="eth0"} 1',
  ]) {
    expect(first.split('\n')).toContain(line)
  }
  status.flows.opened = 1001
  status.state = 'degraded'
  status.drops = {}
  const second = (await metrics.text()).split('\n')
  expect(second).toContain('tsnat_flows_opened_total 1001')
  expect(second).toContain('tsnat_state{state="ready"} 0')
  expect(second.filter((line) => line.startsWith('tsnat_dropped_packets_total'))).toEqual([])
})
