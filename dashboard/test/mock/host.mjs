// What a server finds of its host.
import { ABILITIES } from './project.mjs'

/** Only the first backend was used by now. */
export const doctor = (backends) => ({
  abilities: ABILITIES,
  backends: backends.map((name, at) => ({
    name,
    abilities: at === 0 ? ABILITIES : [],
    storage: at === 0 ? 'btrfs loop image' : null,
    problem: at === 0 ? null : 'nothing was made with it yet',
  })),
  version: '0.1.0',
  dataDir: '/var/lib/toft',
  storage: 'btrfs loop image, 18.2 GiB free',
  traces: [],
})
