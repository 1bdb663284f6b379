/** Tells the service manager how far we are (sd_notify(3)). Does nothing when not started by one. */
import type { Logger } from 'pino'
import { native } from '../../native.js'

/** @param message lines of `NAME=value`, such as READY=1 */
export const notifyServiceManager = (message: string, log: Logger): void => {
  const socket = process.env['NOTIFY_SOCKET']
  if (socket === undefined || socket === '') return
  try {
    native().unixDatagram(socket, message, true)
  } catch (err) {
    log.warn({ err, socket }, 'the service manager could not be told')
  }
}
