"""The two apps that the generated pyproject names; Flower reads this file and wants plain assignments."""

from globalpool.federated.flower import client_app, server_app

client = client_app()
server = server_app()
