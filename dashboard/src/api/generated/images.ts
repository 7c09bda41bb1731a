// Images: what the server takes and gives.
/* oxlint-disable */
// Made by `make api` of the server's own types: never edited by hand.

/** What answers are made of. */
export interface Schemas {
  /** An image that was asked for. */
  AddedImage: {
    key: string
    name: string
    /** What it was made of. */
    kind: 'host' | 'folder' | 'tarball' | 'oci' | 'template'
    source: string
    /** RFC 3339; null of `host`. */
    createdAt: string | null
    bytes: number | null
    /** `making`, `ready` or `failed`. */
    state: 'making' | 'ready' | 'failed'
    /** Whether new projects are made of it. */
    default: boolean
    /** Why it failed. */
    reason?: string | null
    /** While it is made. */
    progress?: Schemas['ImageProgress'] | null
    /** Whether it was not there before. */
    created: boolean
  }
  /** An image that was deleted. */
  DeletedImage: {
    key: string
    deleted: boolean
  }
  /** An image as the API shows it. */
  Image: {
    key: string
    name: string
    /** What it was made of. */
    kind: 'host' | 'folder' | 'tarball' | 'oci' | 'template'
    source: string
    /** RFC 3339; null of `host`. */
    createdAt: string | null
    bytes: number | null
    /** `making`, `ready` or `failed`. */
    state: 'making' | 'ready' | 'failed'
    /** Whether new projects are made of it. */
    default: boolean
    /** Why it failed. */
    reason?: string | null
    /** While it is made. */
    progress?: Schemas['ImageProgress'] | null
  }
  /** How far it is. */
  ImageProgress: {
    /** `pulling`, `unpacking`, `set-up`. */
    stage: string
    doneBytes: number
    /** 0 when nobody knows. */
    totalBytes: number
  }
  /** All images. */
  Images: {
    images: Schemas['Image'][]
  }
}

/** What each operation takes, and the data of its answer. */
export interface Operations {
  /** `GET /v1/images` */
  getImages: {
    data: Schemas['Images']
  }
  /** `POST /v1/images` */
  postImages: {
    body: {
      source?: string | null
      folders?: string[] | null
      fromCheckpoint?: {
        projectId: string
        checkpointId: string
      } | null
      fromImage?: string | null
      name?: string | null
      setup?: string | null
      plainHttp?: boolean
      user?: string | null
      password?: string | null
    }
    data: Schemas['AddedImage']
  }
  /** `GET /v1/images/{key}` */
  getImagesKey: {
    data: Schemas['Image']
  }
  /** `PATCH /v1/images/{key}` */
  patchImagesKey: {
    body: {
      name?: string | null
      default?: boolean | null
    }
    data: Schemas['Image']
  }
  /** `DELETE /v1/images/{key}` */
  deleteImagesKey: {
    data: Schemas['DeletedImage']
  }
}
