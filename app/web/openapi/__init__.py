"""The API described for programs: one OpenAPI 3.1 document, which ``/docs`` shows to people."""
