// Services: what the server takes and gives.
/* oxlint-disable */
// Made by `make api` of the server's own types: never edited by hand.

/** What each operation takes, and the data of its answer. */
export interface Operations {
  /** `GET /v1/projects/{id}/toft/inspect` */
  getProjectsIdToftInspect: {
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/toft/services` */
  getProjectsIdToftServices: {
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/services/{service}/start` */
  postProjectsIdToftServicesServiceStart: {
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/services/{service}/stop` */
  postProjectsIdToftServicesServiceStop: {
    data: Record<string, unknown>
  }
  /** `POST /v1/projects/{id}/toft/services/{service}/restart` */
  postProjectsIdToftServicesServiceRestart: {
    data: Record<string, unknown>
  }
  /** `GET /v1/projects/{id}/toft/services/{service}/log` */
  getProjectsIdToftServicesServiceLog: {
    data: Record<string, unknown>
  }
}
