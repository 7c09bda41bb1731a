// How the app is built. The output is plain files: no server of its own, nothing inline.
import { fileURLToPath } from 'node:url'
import tailwindcss from '@tailwindcss/vite'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'

/** Where `npm run dev` finds a running Toft. */
const server = process.env.TOFT_SERVER ?? 'http://127.0.0.1:4000'

/** The server takes changes only from its own origin, so this stands in for it. */
const toServer = { target: server, changeOrigin: true, headers: { origin: server } }
const proxy = {
  '/v1': { ...toServer, ws: true },
  '/sign-in': toServer,
  '/docs': toServer,
  '/openapi.json': toServer,
}

export default defineConfig({
  plugins: [react(), tailwindcss()],
  resolve: { alias: { '@': fileURLToPath(new URL('./src', import.meta.url)) } },
  build: {
    target: 'es2023',
    modulePreload: { polyfill: false },
    // Fonts and images stay files: the page's policy allows fonts from 'self' only.
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
  server: { proxy },
  preview: { proxy },
  test: { include: ['src/**/*.test.ts', 'src/**/*.test.tsx'] },
})
