// How the app is built. The output is plain files: no server of its own, nothing inline.
import { fileURLToPath } from 'node:url'
import tailwindcss from '@tailwindcss/vite'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'

/** Where `npm run dev` finds a running Toft. */
const server = process.env.TOFT_SERVER ?? 'http://127.0.0.1:4000'

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
  server: {
    proxy: {
      '/v1': { target: server, ws: true },
      '/sign-in': { target: server },
    },
  },
  test: { include: ['src/**/*.test.ts', 'src/**/*.test.tsx'] },
})
